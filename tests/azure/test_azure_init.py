"""`lkharness init --azure` over HTTPS: what Azure tells is in the file, what it cannot tell is asked or said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import azure_payloads
import pytest
import tomli_w
from arm_server import ArmServer

from harness import cli
from harness.config import cluster_config, trust


@pytest.fixture
def settings(server: ArmServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    file = tmp_path / "settings.toml"
    file.write_text(tomli_w.dumps({"azure": server.table()}))
    trust.agree_to_own(file)
    return file


def init(settings: Path, *words: str) -> tuple[int, Path]:
    file = settings.parent / "made.toml"
    return cli.main(["init", "--azure", "--azure-from", str(settings), *words, str(file)]), file


def complaint(settings: Path, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    code, file = init(settings, *words)
    assert code != 0 and not file.exists()
    return capsys.readouterr().err


def test_the_whole_cluster(server: ArmServer, settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server.wire.each_rule(enableFloatingIP=True, enableTcpReset=True, idleTimeoutInMinutes=30, loadDistribution="SourceIP")
    server.wire.probe.update(protocol="Http", port=61000, requestPath="up", intervalInSeconds=7, probeThreshold=3)
    code, file = init(settings, "--service", "db=postgres:5432:pg", "--user", "me", "--sudo", "--jump", "lkclient")
    assert code == 0
    made = cluster_config.load(file)
    probe = made.load_balancer.probe
    assert (made.design, probe.protocol, probe.port, probe.path, probe.interval_s, probe.threshold) == (
        "floating",
        "http",
        61000,
        "/up",
        7,
        3,
    )
    assert (made.load_balancer.tcp_reset, made.load_balancer.idle_timeout_s, made.load_balancer.distribution) == (True, 1800, "SourceIP")
    assert [(n.name, str(n.address), str(n.second_address)) for n in made.nodes] == [
        ("lknode01", "10.20.1.11", "10.20.2.11"), ("lknode02", "10.20.1.12", "10.20.2.12"),
    ]  # fmt: skip
    assert made.client.name == "lkclient" and made.nodes[0].ssh.jump == "lkclient" and made.manager.resource == "pg"
    assert made.azure is not None and made.azure.load_balancer == "ilb" and made.azure.client_secret_file == server.secret_file
    assert "shh" not in file.read_text()


def test_what_azure_cannot_tell_is_said(settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, file = init(settings)
    assert code == 0 and [(s.kind, s.port) for s in cluster_config.load(file).services] == [
        ("oracle", 1521),
        ("postgres", 5432),
        ("http", 80),
    ]
    said = capsys.readouterr().out
    assert "Azure cannot tell the tags" in said and "1521: rule-1521 (oracle)" in said


def test_what_was_made_agrees_with_azure(server: ArmServer, settings: Path) -> None:
    """The file that is written has no finding against what it was written from."""
    from harness.azure.client import sdk_clients
    from harness.azure.inventory import resource_reader
    from harness.azure.lint.lint_load_balancer import judge

    _, file = init(settings)
    made = cluster_config.load(file)
    assert made.azure is not None
    there = sdk_clients.make_clients(made.azure)
    assert judge(made, resource_reader.look(there, {m.name: made.azure.machine(m.name) for m in made.machines}, made.vip)) == []
    there.close()


def renamed(server: ArmServer) -> None:
    machine = server.wire.machines.pop("lknode01")
    server.wire.machines["vm (1)"] = machine | {"name": "vm (1)"}


def test_a_name_that_a_file_does_not_take_is_mapped(server: ArmServer, settings: Path) -> None:
    renamed(server)
    _, file = init(settings)
    made = cluster_config.load(file)
    assert made.azure is not None and made.nodes[0].name == "vm--1-" and made.azure.machine("vm--1-") == "vm (1)"


def windows(server: ArmServer) -> None:
    for machine in server.wire.machines.values():
        machine["properties"]["storageProfile"]["osDisk"]["osType"] = "Windows"


def test_windows_nodes_have_their_manager(server: ArmServer, settings: Path) -> None:
    windows(server)
    _, file = init(settings)
    made = cluster_config.load(file)
    assert made.manager.kind == "lifekeeper-windows" and {m.platform for m in made.machines} == {"windows"}


def crowd(server: ArmServer) -> None:
    other = azure_payloads.vm("lkclient") | {"name": "other", "id": azure_payloads.vm_id("other")}
    other["properties"]["networkProfile"] = {"networkInterfaces": [{"id": azure_payloads.nic_id("other", 1)}]}
    server.wire.machines["other"] = other
    nic = azure_payloads.nic("lkclient", 1)
    nic |= {"name": "other-nic1", "id": azure_payloads.nic_id("other", 1)}
    nic["properties"]["ipConfigurations"][0]["properties"]["privateIPAddress"] = "10.20.1.21"
    server.wire.nics["other-nic1"] = nic


def test_which_machine_is_the_client(server: ArmServer, settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    crowd(server)
    assert "lkclient=10.20.1.20, other=10.20.1.21; give --client NAME=ADDRESS" in complaint(settings, capsys)
    code, file = init(settings, "--client", "other")
    assert code == 0 and str(cluster_config.load(file).client.address) == "10.20.1.21"


WRONG: dict[str, tuple[Any, str]] = {
    "one node in the pool": (lambda s: s.wire.leave_pool("lknode02"), "holds 1 virtual machines"),
    "no probe": (lambda s: [r["properties"].pop("probe") for r in s.wire.rules], "no rule of ilb has a health probe"),
    "no rule": (lambda s: s.wire.rules.clear(), "no load-balancing rule for TCP"),
    "one NIC": (lambda s: s.wire.machines["lknode01"]["properties"]["networkProfile"]["networkInterfaces"].pop(0), "has one NIC"),
    "no frontend": (lambda s: s.wire.balancer["properties"].update(frontendIPConfigurations=[]), "no internal frontend"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_cluster_is_said(what: str, server: ArmServer, settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoil, words = WRONG[what]
    spoil(server)
    assert words in complaint(settings, capsys)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('azure = "x"', "has no [azure] table"),
        ("azure = [1]", "has no [azure] table"),
        ("[other]", "has no [azure] table"),
        ("ca_file = 5", "ca_file"),
        ("client_secret_file = 5", "client_secret_file"),
        ('ca_file = "~nobody-of-this-name/ca.pem"', "~nobody-of-this-name"),
    ],
)
def test_a_table_that_is_none_is_said(text: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "settings.toml"
    table = "" if text.startswith(("azure", "[")) else '[azure]\nsubscription = "s"\nresource_group = "g"\n'
    file.write_text(f"{table}{text}\n")
    code, made = init(file)
    said = capsys.readouterr().err
    assert code == 2 and words in said and "Traceback" not in said and not made.exists()


def test_a_subscription_and_a_group_are_needed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["init", "--azure", str(tmp_path / "x.toml")]) == 2
    assert "--subscription and --resource-group" in capsys.readouterr().err

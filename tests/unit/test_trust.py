"""A cluster file from a stranger: nothing in it is run or read, and nobody but Azure gets a token, before somebody agreed to it."""

from __future__ import annotations

import copy
import os
from pathlib import Path

import pytest
import tomli_w

from harness import cli
from harness.azure.client import credentials
from harness.check.cluster_check import not_agreed_to
from harness.collect.known_secrets import known_secrets
from harness.commands.lab import lab as lab_command
from harness.config import cluster_config, service_settings, trust
from harness.core.errors import BadUse
from harness.lab.lifecycle import default_cluster

CLOSED = {"host": "127.0.0.1", "port": 1, "connect_limit_s": 0.5}  # nobody answers there


class Stranger:
    """Somebody's cluster file, with a program in it that leaves a trace when it is run."""

    def __init__(self, folder: Path) -> None:
        self.file, self.trace = folder / "customer.toml", folder / "ran"

    def write(self, azure: dict | None = None, **given: object) -> Path:
        command = ["sh", "-c", f"id >>{self.trace}; echo pw"]
        data = copy.deepcopy(default_cluster.cluster_data())
        data["services"] = [
            {"name": "db", "kind": "postgres", "port": 5432, "tag": "db", "settings": given or {"password_command": command}}
        ]
        for machine in (data["client"], *data["nodes"]):
            machine["ssh"] = CLOSED
        self.file.write_text(tomli_w.dumps(data | ({"azure": azure} if azure else {})))
        return self.file


@pytest.fixture(autouse=True)
def _own_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def stranger(tmp_path: Path) -> Stranger:
    return Stranger(tmp_path)


def test_a_command_for_the_nodes_is_asked_for_and_left_out() -> None:
    data = default_cluster.cluster_data(overrides={"manager": {"mirror_check": ["rm", "-rf", "/"]}})
    (ask,) = trust.trust_requests(data, with_arguments=True)
    assert ask == "manager.mirror_check runs `rm -rf /` on a node" and trust.trust_requests(data) == [
        "manager.mirror_check runs `rm [removed]` on a node"
    ]
    assert trust.withhold(cluster_config.Cluster.model_validate(data), [ask]).manager.mirror_check == []


def test_the_command_that_captures_at_the_network_is_asked_for_and_left_out() -> None:
    data = default_cluster.cluster_data(overrides={"network_capture": {"command": ["tcpdump", "-z", "sh"]}})
    (ask,) = trust.trust_requests(data, with_arguments=True)
    assert ask == "network_capture.command runs `tcpdump -z sh` on this machine"
    cluster = cluster_config.Cluster.model_validate(data)
    assert cluster.network_capture is not None and trust.withhold(cluster, [ask]).network_capture is None


def test_nothing_of_it_is_run_by_check_or_collect(stranger: Stranger, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = stranger.write()
    bundle = tmp_path / "b.tar.gz"
    assert cli.main(["check", "--cluster", str(file)]) == 4
    assert cli.main(["collect", "--cluster", str(file), "--output", str(bundle)]) == 4
    assert not stranger.trace.exists()
    said = capsys.readouterr().out
    assert "left out, because nobody has agreed to it: services db: password_command runs" in said and bundle.exists()


@pytest.mark.parametrize("key,value", [("password_command", "true"), ("password_env", "MINE"), ("password_file", "/etc/hostname")])
def test_no_secret_of_it_is_read(stranger: Stranger, key: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE", "engineers-own")
    cluster = cluster_config.load(stranger.write(**{key: value}))
    assert key in cluster.left_out[0]
    with pytest.raises(service_settings.NotAgreed):
        service_settings.password(cluster.services[0].settings)
    assert known_secrets(cluster, {}, {"MINE": "engineers-own"}) == (set(), [])


def test_a_run_needs_the_agreement(stranger: Stranger) -> None:
    file = stranger.write()
    with pytest.raises(BadUse, match=r"asks for what nobody has agreed to: .*lkharness trust"):
        trust.demand(cluster_config.load(file), file)
    trust.demand(cluster_config.load(file, trusted=True), file)


def test_what_check_and_collect_left_out_names_the_one_command_that_agrees(
    stranger: Stranger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It can be copied from there: with the file's own path."""
    file = stranger.write()
    (found,) = not_agreed_to(cluster_config.load(file), file)
    assert "password_command runs" in found.says and f"lkharness trust {file}" in found.do
    cli.main(["collect", "--cluster", str(file), "--output", str(tmp_path / "b.tar.gz")])
    (said,) = [line for line in capsys.readouterr().err.splitlines() if "left out" in line]
    assert "password_command runs" in said and f"`lkharness trust {file}`" in said
    assert not_agreed_to(cluster_config.load(file, trusted=True), file) == []


def test_agreed_once_to_exactly_this_content(stranger: Stranger, capsys: pytest.CaptureFixture[str]) -> None:
    file = stranger.write()
    assert cli.main(["trust", str(file)]) == 2 and "nothing was agreed to" in capsys.readouterr().err
    assert cli.main(["trust", str(file), "--yes"]) == 0
    assert "runs `sh -c 'id >>" in capsys.readouterr().out and not stranger.trace.exists()
    cluster = cluster_config.load(file)
    assert cluster.left_out == ()
    secret = service_settings.password(cluster.services[0].settings)
    assert secret and secret.reveal() == "pw" and stranger.trace.exists()
    file.write_text(file.read_text() + "\n# changed\n")
    assert cluster_config.load(file).left_out


def test_what_asks_for_nothing_needs_no_agreement(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "c.toml"
    azure = {"subscription": "s", "resource_group": "g", "credential": "cli", "resource_manager": "https://management.azure.com/"}
    data = copy.deepcopy(default_cluster.cluster_data())
    data["services"] = [service for service in data["services"] if service["kind"] != "postgres"]
    file.write_text(tomli_w.dumps(data | {"azure": azure}))
    cluster = cluster_config.load(file)
    assert cluster.left_out == () and cluster.azure is not None
    assert cli.main(["trust", str(file)]) == 0 and "nothing to agree to" in capsys.readouterr().out


@pytest.mark.parametrize("mode,says", [(0o666, "written by others"), (0o664, "written by others")])
def test_a_file_that_others_may_change_is_not_agreed_to(stranger: Stranger, mode: int, says: str, capsys) -> None:
    file = stranger.write()
    file.chmod(mode)
    assert cli.main(["trust", str(file), "--yes"]) == 2 and says in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of other users")
def test_what_another_user_put_there_counts_for_nothing(stranger: Stranger, tmp_path: Path, capsys) -> None:
    file = stranger.write()
    assert cli.main(["trust", str(file), "--yes"]) == 0
    (memory,) = (tmp_path / "state" / "lkharness" / "agreed").iterdir()
    os.chown(memory, 65534, 65534)
    assert cluster_config.load(file).left_out
    os.chown(file, 65534, 65534)
    assert cli.main(["trust", str(file), "--yes"]) == 2 and "belongs to another user" in capsys.readouterr().err


FOREIGN = {"subscription": "s", "resource_group": "g", "resource_manager": "https://collector.attacker.example"}


@pytest.mark.parametrize(
    "over",
    [
        {"credential": "default", "audience": "https://management.azure.com"},
        {"credential": "cli"},
        {"credential": "environment", "authority": "https://login.attacker.example", "resource_manager": "https://management.azure.com"},
        {"credential": "environment", "resource_manager": "https://management.azure.com:8443"},
        {"credential": "managed-identity", "resource_manager": "https://me@management.azure.com"},
        # a secret of the file's own, but Azure's own token of it, for Azure
        {
            "credential": "client-secret",
            "tenant": "t",
            "client_id": "c",
            "client_secret_file": "x",
            "audience": "https://management.azure.com",
        },
        {"credential": "client-secret", "tenant": "t", "client_id": "c", "client_secret_file": "x"},
    ],
)
def test_no_foreign_end_gets_a_token_of_this_machine(over: dict, stranger: Stranger) -> None:
    azure = cluster_config.Azure(**{**FOREIGN, **over})  # type: ignore[arg-type]
    with pytest.raises(BadUse, match=r"is not Azure's"):
        credentials.make_credential(azure)
    cluster = cluster_config.load(stranger.write(azure={**FOREIGN, **over}, user="x"))
    assert cluster.azure is None and any("azure." in ask for ask in cluster.left_out)


def test_a_foreign_end_with_its_own_secret_needs_the_agreement_only(stranger: Stranger, tmp_path: Path) -> None:
    pytest.importorskip("azure.identity", reason="the Azure packages, an extra, are not installed")
    (tmp_path / "secret").write_text("shh\n")
    own = {"credential": "client-secret", "tenant": "t", "client_id": "c", "client_secret_file": str(tmp_path / "secret")}
    table = {**FOREIGN, **own, "audience": FOREIGN["resource_manager"]}
    file = stranger.write(azure=table)
    assert cluster_config.load(file).azure is None
    trust.agree(file.read_bytes(), file)
    azure = cluster_config.load(file).azure
    assert azure is not None
    credentials.make_credential(azure)


def test_the_azure_table_of_a_strangers_file_is_not_used_for_making_either(stranger: Stranger, capsys: pytest.CaptureFixture[str]) -> None:
    file = stranger.write(azure={**FOREIGN, "credential": "cli"}, user="x")
    for words in (["init", "--azure-from", str(file), "x.toml"], ["azure", "sweep", "--azure", str(file)]):
        assert cli.main(words) == 2
        assert "sends tokens or secrets to collector.attacker.example" in capsys.readouterr().err


def test_a_lab_of_a_strangers_file_is_no_agreement(stranger: Stranger, monkeypatch: pytest.MonkeyPatch) -> None:
    """`lab up` writes what the file asks for into the lab's own file."""
    seen: list[bool] = []

    class Enough(Exception):
        pass

    def up(*data: object, agreed: bool, **more: object) -> None:
        seen.append(agreed)
        raise Enough

    monkeypatch.setattr("harness.lab.lifecycle.launch.up", up)
    file = stranger.write()
    for agreed in (False, True):
        if agreed:
            trust.agree(file.read_bytes(), file)
        with pytest.raises(Enough):
            lab_command._up(cli._parser().parse_args(["lab", "up", "--file", str(file)]))
    assert seen == [False, True]

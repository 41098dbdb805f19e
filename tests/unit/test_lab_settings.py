"""What a real cluster may have and a lab cannot is refused by the file's own name, before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import cli
from harness.config import cluster_config
from harness.core.errors import BadUse
from harness.lab import lab_config
from harness.lab.lifecycle import default_cluster, launch

UP = launch.up
HTTP = '[load_balancer.probe]\nprotocol = "http"\n'


@pytest.fixture(autouse=True)
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What would have been started."""
    begun: list[str] = []

    def up(data: dict, *, name: str, **_: object) -> None:
        begun.append(name)
        raise KeyboardInterrupt

    monkeypatch.setattr(launch, "up", up)
    return begun


@pytest.mark.parametrize(
    ("said", "options", "names"),
    [
        (HTTP, ["--manager", "pacemaker"], "load_balancer.probe.protocol: azure-lb"),
        (f'{HTTP}[manager]\nkind = "pacemaker"\n', [], "load_balancer.probe.protocol: azure-lb"),
        ("[load_balancer.probe]\nport = 22\n", [], "load_balancer.probe.port is 22"),
        ("", ["--manager", "wsfc", "--platform", "windows", "--guests", "container"], "lab.guests: the stand-in for LifeKeeper runs"),
        ('[lab.guests]\nn9 = { kind = "container" }\n', ["--manager", "pacemaker"], "lab.guests.n9: there is no such host"),
        ("", ["--guests", "container"], "lab.guests: the stand-in for LifeKeeper runs in namespaces only"),
        ('[lab.guests]\nlknode01 = { kind = "container" }\n', ["--manager", "pacemaker"], "lab.guests: lknode01 and lknode02 share a disk"),
        (
            '[[services]]\nname = "sql"\nkind = "mssql"\nport = 1433\ntag = "t"\n[services.settings]\nuser = "u"\npassword_file = "p"\n',
            ["--guests", "container", "--manager", "pacemaker"],
            "services: the stand-in for sql (mssql) runs in namespaces only",
        ),
        ('[lab.guests]\nlknode01 = { kind = "vm" }\n', [], "lab.guests.lknode01.kind"),
        ("", ["--guests", "machine"], "lab.guests: the stand-in for LifeKeeper runs in namespaces only"),
        ('[lab.guests]\nlknode01 = { kind = "machine" }\n', ["--manager", "pacemaker"], "lab.guests: lknode01 and lknode02 share a disk"),
        (
            '[lab]\nfence = "azure"\n',
            ["--guests", "machine", "--manager", "pacemaker"],
            "lab.fence: fence_azure_arm is in an image only; make both nodes containers",
        ),
        ('[manager]\nroot = "/srv/LifeKeeper"\n', [], "manager.root"),
        ('[[services]]\nname = "sftp"\nkind = "tcp"\nport = 22\ntag = "t"\n', [], "services: sftp has port 22"),
    ],
)
def test_what_a_lab_cannot_carry(tmp_path: Path, capsys, started: list[str], said: str, options: list[str], names: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(said)
    assert cli.main(["lab", "up", "--file", str(file), *options]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"lkharness: {file}: 1 fault(s)\n  {names}") and len(told.splitlines()) == 2
    assert started == []


def test_a_manager_that_no_lab_has() -> None:
    cluster = cluster_config.parse(default_cluster.cluster_data(), Path("x"))
    other = cluster.model_copy(update={"manager": cluster.manager.model_copy(update={"kind": "other"})})
    with pytest.raises(BadUse, match=r"manager\.kind: other runs in no lab, which has lifekeeper or pacemaker or .* or wsfc"):
        lab_config.make_lab_config(other, Path("x"))


@pytest.mark.parametrize("said", ['nodes = ["a"]', "nodes = 5", 'manager = "x"', "lab = 3", "lab = { guests = { a = 3 } }"])
@pytest.mark.parametrize("options", [[], ["--platform", "windows"], ["--manager", "pacemaker"], ["--guests", "container"]])
def test_what_is_no_table_is_a_sentence(tmp_path: Path, capsys, started: list[str], said: str, options: list[str]) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(said)
    assert cli.main(["lab", "up", "--file", str(file), *options]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"lkharness: {file}: ") and said.partition(" ")[0] in told and "Traceback" not in told
    assert started == []


@pytest.mark.parametrize("data", [{"nodes": ["a"]}, {"lab": {"guests": {"a": 3}}}, {"manager": "x"}, {"lab": 3}])
def test_the_lab_itself_refuses_what_is_no_table(data: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever calls it: nobody need have looked at the file before."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with pytest.raises(BadUse, match=next(iter(data))):
        UP({**default_cluster.cluster_data(), **data}, name="none", persistent=False)
    assert not [*tmp_path.rglob("cluster.toml")]


@pytest.mark.parametrize(("said", "options"), [(HTTP, []), ("", ["--manager", "pacemaker"])])
def test_an_http_probe_and_pacemaker_are_sound_apart(tmp_path: Path, started: list[str], said: str, options: list[str]) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(said)
    assert cli.main(["lab", "up", "--file", str(file), "--name", "x", *options]) == 130
    assert started == ["x"]


def test_what_one_changes_in_its_cluster_is_in_no_other() -> None:
    one, untouched = default_cluster.cluster_data(), default_cluster.cluster_data()
    one["nodes"][0]["ssh"] = {"host": "192.0.2.1"}
    one["services"][0]["settings"] = {}
    assert default_cluster.cluster_data() == untouched

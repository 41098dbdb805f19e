"""`lkharness record` against a lab: a failover that nobody ordered comes home as a run, with a node down, too; nothing is left on hosts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_shell import Shell, one_sentence, shell_in

from harness.core.deadline import Deadline

pytestmark = pytest.mark.deep
LIMIT = 300.0
ON_HOSTS = (  # a pattern that its own shell's words do not match
    "ls -d /var/lib/lkharness-agent-* /var/tmp/lkharness-* /tmp/lkharness-* 2>/dev/null; pgrep -af 'lkharness-agent-[r]ecorder'; true"
)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with shell_in(tmp_path / "state") as one:
        yield one


def test_an_unplanned_failover_is_recorded_fetched_judged_and_nothing_stays(shell: Shell, tmp_path: Path) -> None:
    shell.up("--name", "one")
    file, reports = shell.labs / "one" / "cluster.toml", tmp_path / "reports"

    def record(*words: str, code: int = 0) -> dict:
        done = shell.lkharness("record", *words, "--json", "--cluster", file)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    def over() -> bool:
        """Whether all that was kept is over, on the client and the node that took over."""
        hosts = record("status", code=4)["hosts"]  # lknode01 is off, and that is said
        return all(hosts[name]["incidents"] and all(one["ended"] for one in hosts[name]["incidents"]) for name in ("lkclient", "lknode02"))

    refused = shell.lkharness("record", "--cluster", file)
    assert refused.returncode == 2 and "connections a second" in refused.stdout and "nothing was done" in refused.stdout
    assert "no flight recorder" in one_sentence(shell.lkharness("record", "status", "--cluster", file), 3)
    started = record("--yes")
    assert started["started"] == ["lkclient", "lknode01", "lknode02"] and len(started["notes"]) == 3, (
        "a lab has no systemd, and that is said"
    )
    assert "is there already" in one_sentence(shell.lkharness("record", "--yes", "--cluster", file), 2)
    shown = shell.lkharness("lab", "exec", "--name", "one", "lknode01", "--", "sh", "-c", ON_HOSTS).stdout
    assert "/var/lib/lkharness-agent-recorder-" in shown.splitlines()[0], "root's lies where only root makes folders"
    ready = Deadline(10.0)
    Deadline(LIMIT).wait_for(lambda: ready.expired, what="some seconds before it", every=1.0)
    shell.lkharness("lab", "power", "--name", "one", "off", "lknode01")
    Deadline(LIMIT).wait_for(over, what="the incident being over", every=3.0)
    while_down = record("fetch", "--reports", reports, code=4)
    run = next(run for run in map(Path, while_down["runs"]) if measured_in(run)["after"] == "lknode02")
    assert while_down["lacking"] == ["lknode01"] and "lknode01" in while_down["error"]
    assert shell.lkharness("report", run).returncode == 3, "whether the VIP moved is not known without lknode01"
    shell.lkharness("lab", "power", "--name", "one", "on", "lknode01")
    booted = lambda: shell.lkharness("record", "status", "--cluster", file).returncode == 0  # noqa: E731
    Deadline(LIMIT).wait_for(booted, what="lknode01 having booted", every=2.0)
    resumed = record("start")["hosts"]
    assert resumed.pop("lknode01").startswith("started again; ") and resumed == {"lkclient": "it runs", "lknode02": "it runs"}
    assert str(run) in record("fetch", "--reports", reports)["completed"]
    assert_every_command_reads(shell, run, tmp_path)
    record("remove", "--yes")
    for host in ("lkclient", "lknode01", "lknode02"):
        assert shell.lkharness("lab", "exec", "--name", "one", host, "--", "sh", "-c", ON_HOSTS).stdout.strip() == ""


def measured_in(run: Path) -> dict:
    return json.loads((run / "run.json").read_text())["measurements"][0]["measured"]


def assert_every_command_reads(shell: Shell, run: Path, tmp_path: Path) -> None:
    """An incident that was brought home is a run as any other. Where a busy machine made the meter late it is inconclusive, everywhere."""
    code, measured = json.loads((run / "run.json").read_text())["exit_code"], measured_in(run)
    assert (measured["disruption"], measured["before"], measured["after"]) == ("incident", "lknode01", "lknode02")
    assert any(series["outages"] for series in measured["series"] if series["origin"] == "lkclient")
    assert code in (0, 3), (run / "summary.md").read_text()
    for words in (("report", run), ("explain", run), ("judge", run)):
        done = shell.lkharness(*words)
        assert done.returncode == code and "incident" in done.stdout, done.stdout + done.stderr
    lines = json.loads(shell.lkharness("history", run.parent, "--json").stdout)["clusters"][0]["lines"]
    assert {("incident", "lknode01", "client")} <= {(one["disruption"], one["from"], one["path"]) for one in lines}
    gate = tmp_path / "gate.toml"
    for seconds, expected in ((60, 0), (0.001, 1)):
        gate.write_text(f'[[budget]]\ndisruption = "incident"\npath = "client"\nseconds = {seconds}\n')
        done = shell.lkharness("gate", run, "--gate", gate, "--signoff")
        assert done.returncode == (expected if code == 0 else done.returncode) and (run / "signoff.html").exists(), done.stdout
        assert code == 0 or done.returncode == 3

"""`lkharness record` where hosts have systemd (containers): its unit starts it after every end but its own, and goes with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_shell import Shell, shell_in

from harness.core.deadline import Deadline
from harness.core.errors import HarnessError
from harness.lab.guests.images import container_engine, image_store

pytestmark = pytest.mark.deep
LIMIT = 300.0
NODES = ("lknode01", "lknode02")
LEFT = (  # patterns that their own shell's words do not match
    "ls -d /var/lib/lkharness-agent-* /etc/systemd/system/lkharness* /etc/systemd/system/*/lkharness* 2>/dev/null; "
    "systemctl list-units --all --plain --no-legend 'lkharness*'; pgrep -af 'lkharness-agent-[r]ecorder'; true"
)
VERIFY = "systemd-analyze verify /etc/systemd/system/lkharness-agent-recorder-*.service"
KILL = "pkill -KILL -f 'lkharness-agent-[r]ecorder'"
END_SOON = """
import glob, json, time
(plan,) = glob.glob("/var/lib/lkharness-agent-recorder-*/plan")
said = json.load(open(plan))
said.update(until=time.time() + 5, keep=2, orphan=7)
json.dump(said, open(plan, "w"))
"""
RESTART = "systemctl restart $(basename /etc/systemd/system/lkharness-agent-recorder-*.service)"


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    try:
        image_store.find("pacemaker")
        container_engine.demand()
    except HarnessError as lack:
        pytest.skip(str(lack))
    with shell_in(tmp_path / "state") as one:
        yield one


def test_its_unit_outlives_reboots_and_kills_and_goes_with_its_end(shell: Shell) -> None:
    shell.up("--name", "one", "--guests", "container", "--manager", "pacemaker")
    file = shell.labs / "one" / "cluster.toml"

    def on(host: str, *words: str) -> str:
        done = shell.lkharness("lab", "exec", "--name", "one", host, "--", *words)
        return done.stdout + done.stderr

    def power(to: str, host: str) -> None:
        assert shell.lkharness("lab", "power", "--name", "one", to, host).returncode == 0

    def runs(host: str) -> bool:
        said = json.loads(shell.lkharness("record", "status", "--json", "--cluster", file).stdout)["hosts"]
        return bool(said.get(host, {}).get("alive"))

    def begun(host: str) -> int:
        return on(host, "sh", "-c", "cat /var/lib/lkharness-agent-*/journal").count('"it began"')

    def starts_again(host: str, before: int) -> None:
        """It runs, and has begun once more, or oftener: a node that came back may be fenced. Nobody but systemd has started it."""
        again = lambda: runs(host) and begun(host) > before  # noqa: E731
        Deadline(LIMIT).wait_for(again, what=f"the recorder of {host} having begun more than {before} times", every=2.0)

    started = json.loads(shell.lkharness("record", "--yes", "--json", "--cluster", file).stdout)
    assert set(started["started"]) == {"lkclient", *NODES} and [note.split(":")[0] for note in started["notes"]] == ["lkclient"]
    for node in NODES:
        assert on(node, "sh", "-c", VERIFY) == "", "systemd has nothing to say against its unit"
    times = {node: begun(node) for node in NODES}
    power("off", "lknode01")
    power("on", "lknode01")
    starts_again("lknode01", times["lknode01"])
    power("shutdown", "lknode02")
    off = lambda: next(h["power"] for h in shell.status("--name", "one")["nodes"] if h["name"] == "lknode02") == "off"  # noqa: E731
    Deadline(LIMIT).wait_for(off, what="lknode02 being off", every=1.0)
    power("on", "lknode02")
    starts_again("lknode02", times["lknode02"])
    before = begun("lknode01")
    on("lknode01", "sh", "-c", KILL)
    starts_again("lknode01", before)
    on("lknode01", "/opt/lab/bin/python3", "-c", END_SOON)
    on("lknode01", "sh", "-c", RESTART)
    Deadline(LIMIT).wait_for(lambda: on("lknode01", "sh", "-c", LEFT).strip() == "", what="nothing of it on lknode01", every=1.0)
    told = shell.lkharness("record", "status", "--cluster", file).stdout
    assert "lknode01: no flight recorder is there" in told
    assert shell.lkharness("record", "remove", "--yes", "--cluster", file).returncode == 0
    for host in NODES:
        assert on(host, "sh", "-c", LEFT).strip() == ""

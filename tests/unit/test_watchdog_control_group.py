"""The watchdog lives where it outlives its run, and the plan says beforehand what it would not outlive: a group's end, or the log-out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.attach import watchdog, watchdog_control_group
from harness.attach.watchdog import WatchdogConfig, shared_fates
from harness.attach.watchdog_control_group import choose_control_group
from harness.config import cluster_config
from harness.lab.lifecycle import default_cluster

CLUSTER = cluster_config.parse(default_cluster.cluster_data(), Path("a test's"))
USER, ROOT = 1000, 0
IN_SESSION = "0::/user.slice/user-1000.slice/session-7.scope\n"
BELOW_THE_USERS_MANAGER = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/a-terminal.scope\n"
IN_A_UNIT = "0::/system.slice/runner.service\n"
GROUP, LOG_OUT, LINGER = "shares its control group", "ends with your last log-out", "loginctl enable-linger"


class Machine:
    """Stand-ins for what systemd is asked by: `systemd_run` is its exit code, `lingers` and `kills` what loginctl and busctl say."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder, self._monkeypatch = folder, monkeypatch
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        monkeypatch.setattr(watchdog_control_group, "SYSTEMD", folder)

    def be(self, uid: int, groups: str, *, systemd_run: int = 0, lingers: str | None = None, kills: str | None = None) -> None:
        past_options = 'while [ "${1#--}" != "$1" ]; do shift; done'
        self._make("systemd-run", f'[ {systemd_run} = 0 ] || exit {systemd_run}\n{past_options}\nexec "$@"')
        self._make("loginctl", "exit 1" if lingers is None else f"[ $2 = {uid} ] && echo {lingers}")
        self._make("busctl", "exit 1" if kills is None else f"echo 'b {kills}'")
        self._monkeypatch.setattr(watchdog_control_group, "own_uid", lambda: uid)
        (self._folder / "cgroup").write_text(groups)
        self._monkeypatch.setattr(watchdog_control_group, "OWN_GROUPS", self._folder / "cgroup")

    def _make(self, name: str, text: str) -> None:
        tool = self._folder / name
        tool.write_text(f'#!/bin/sh\necho "$@" >>{self._folder}/asked-{name}\n{text}\n')
        tool.chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def test_it_has_a_control_group_of_its_own_where_there_is_systemd(machine: Machine, tmp_path: Path) -> None:
    machine.be(ROOT, IN_A_UNIT)
    assert choose_control_group().words[:2] == ["systemd-run", "--scope"]
    assert not any("control group" in one for one in shared_fates(CLUSTER))
    one = watchdog.Watchdog(WatchdogConfig(cluster=CLUSTER, run="r", token="t"), tmp_path)
    one.tell_found("lknode01")
    one.dismiss()
    assert "-m harness.attach.watchdog" in (tmp_path / "asked-systemd-run").read_text()


@pytest.mark.parametrize("there", [True, False])
def test_the_plan_says_what_would_end_it_with_the_run(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    machine.be(ROOT, IN_A_UNIT, systemd_run=1)
    if not there:
        monkeypatch.setattr(watchdog_control_group, "SYSTEMD", tmp_path / "none")
    assert choose_control_group().words == [] and any(GROUP in one for one in shared_fates(CLUSTER))


@pytest.mark.parametrize(
    ("groups", "about", "own", "said", "unsaid"),
    [
        (IN_SESSION, {"lingers": "yes", "kills": "true"}, True, (), (GROUP, LOG_OUT)),
        (IN_SESSION, {"lingers": "no", "kills": "false"}, False, (GROUP, LINGER), (LOG_OUT,)),  # the session's scope outlives the log-out
        (IN_SESSION, {"kills": "false"}, False, (GROUP, LINGER), (LOG_OUT,)),
        (IN_SESSION, {"lingers": "no", "kills": "true"}, True, (LOG_OUT, LINGER), (GROUP,)),
        (IN_SESSION, {"lingers": "no"}, True, (LOG_OUT, LINGER), (GROUP,)),  # nobody says what the log-out does
        (BELOW_THE_USERS_MANAGER, {"lingers": "no", "kills": "false"}, True, (LOG_OUT,), (GROUP,)),
        (IN_A_UNIT, {"lingers": "no", "kills": "false"}, True, (LOG_OUT,), (GROUP,)),
        (IN_A_UNIT, {"systemd_run": 1, "kills": "false"}, False, (GROUP,), (LOG_OUT,)),
        (IN_SESSION, {"systemd_run": 1, "kills": "true"}, False, (GROUP, LOG_OUT), ()),
    ],
)
def test_a_scope_that_ends_with_the_log_out_is_not_taken_for_one_that_survives(
    machine: Machine, groups: str, about: dict, own: bool, said: tuple[str, ...], unsaid: tuple[str, ...]
) -> None:
    """The user's own service manager ends ten seconds after his last session, with every scope in it, unless he lingers."""
    machine.be(USER, groups, **about)
    chosen = choose_control_group()
    assert chosen.words[:2] == (["systemd-run", "--user"] if own else [])
    text = " ".join(shared_fates(CLUSTER))
    assert all(words in text for words in said) and not any(words in text for words in unsaid), text


def test_it_is_a_harmless_trial_that_tells(machine: Machine, tmp_path: Path) -> None:
    machine.be(USER, IN_SESSION, lingers="yes")
    choose_control_group()
    assert (tmp_path / "asked-systemd-run").read_text() == "--user --scope --quiet --collect true\n"


def test_a_session_s_agent_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    data = default_cluster.cluster_data()
    for machine in (data["client"], *data["nodes"]):
        machine.get("ssh", {}).pop("key", None)
    cluster = cluster_config.parse(data, Path("a test's"))
    monkeypatch.setenv("SSH_AUTH_SOCK", "/tmp/ssh-x/agent.1")
    monkeypatch.setenv("SSH_CONNECTION", "1.2.3.4 5 6.7.8.9 22")
    assert any("SSH agent at /tmp/ssh-x/agent.1" in one for one in shared_fates(cluster))
    monkeypatch.delenv("SSH_CONNECTION")
    assert not any("SSH agent" in one for one in shared_fates(cluster))

"""A machine's power without any Azure: which states are started, and what must have come back after a restart. Pure."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from harness.azure.faults.vm_power import Machine
from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded, Unusable
from harness.disrupt import disruption
from harness.hosts.host import HostUnreachable

POLL_S = 0.01


class Scripted:
    """A hand whose Azure says one power until it is told to start."""

    def __init__(self, code: str | None) -> None:
        self.codes, self.started = [code], 0
        self.azure = SimpleNamespace(resource_group="g", poll_s=POLL_S, operation_limit_s=5.0)
        self.clients = SimpleNamespace(compute=SimpleNamespace(virtual_machines=self))

    def get(self, group: str, name: str, *, expand: str) -> Any:
        codes = ["ProvisioningState/succeeded", *(f"PowerState/{c}" for c in self.codes if c is not None)]
        view = SimpleNamespace(statuses=[SimpleNamespace(code=code) for code in codes])
        return SimpleNamespace(properties=SimpleNamespace(provisioning_state="Succeeded", instance_view=view))

    def read(self, what: Callable[[], Any], deadline: Deadline, doing: str) -> Any:
        return what()

    def do(self, *about: Any) -> None:
        self.codes, self.started = ["running"], self.started + 1


@pytest.mark.parametrize("code", ["unknown", None, "stopped", "deallocated"])
def test_a_machine_that_does_not_run_is_started_once(code: str | None) -> None:
    hand: Any = Scripted(code)
    Machine(hand, "lknode01").start(Deadline(3))
    assert hand.started == 1


def test_a_machine_that_runs_is_left_alone() -> None:
    hand: Any = Scripted("running")
    Machine(hand, "lknode01").start(Deadline(3))
    assert hand.started == 0


def test_what_is_not_known_for_a_moment_only_is_not_started() -> None:
    """Such as while it starts by itself."""
    hand: Any = Scripted("unknown")
    looks = iter(["unknown", "starting"])
    hand.read = lambda what, deadline, doing: (hand.codes.__setitem__(0, next(looks, "running")), what())[1] if "power" in doing else what()
    Machine(hand, "lknode01").start(Deadline(3))
    assert hand.started == 0


class Booting:
    """A host that is silent for some looks, and then says which boot it is."""

    def __init__(self, boot: str, silent: int = 0) -> None:
        self.boot, self.silent = boot, silent

    def alive(self, *, limit: float = 1.0) -> bool:
        return True  # before anything is done

    def check(self, command: object, *, limit: float = 1.0) -> str:
        self.silent -= 1
        if self.silent >= 0:
            raise HostUnreachable("lknode01 is silent")
        return self.boot


def restart(host: Booting, triggered: Any) -> Any:
    """A restart of lknode01, which was boot 1, as far as it got."""
    cluster = SimpleNamespace(manager=SimpleNamespace(boot_s=2.0))
    subject: Any = SimpleNamespace(cluster=cluster, hosts={"lknode01": host}, absent={"lknode01"}, active="lknode01")
    one: Any = disruption.get_disruption("azure VM restart")(subject)
    one._boot_before, one._triggered = "1", triggered
    return one


REFUSED = SimpleNamespace(refused=Unusable("the operation failed"))
ACCEPTED = SimpleNamespace(refused=None)


@pytest.mark.parametrize("triggered", [None, REFUSED], ids=["never accepted", "refused"])
def test_what_azure_did_not_do_leaves_the_boot_that_was_there(triggered: Any) -> None:
    one = restart(Booting("1", silent=2), triggered)
    one._finish_undo(Deadline(0.5))
    assert one._subject.absent == set()


def test_what_azure_took_for_it_is_not_the_boots_time() -> None:
    one = restart(Booting("2", silent=3), ACCEPTED)
    one._finish_undo(Deadline(0.0))
    assert one._subject.absent == set()


def test_the_same_boot_is_not_enough_where_azure_took_the_order() -> None:
    with pytest.raises(DeadlineExceeded, match="lknode01 coming back"):
        restart(Booting("1"), ACCEPTED)._finish_undo(Deadline(0.0))


def test_a_shutdown_in_order_begins_with_the_order_and_a_power_off_with_the_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pacemaker hands over while the machine shuts down: the other node's answers from then on are no wrong node's."""
    for name, by_order in (("azure VM restart", True), ("azure VM redeploy", True), ("azure VM power off", False)):
        times = {"ordered": 0.0, "silent": 0.0}
        subject = restart(Booting("1"), None)._subject
        one: Any = disruption.get_disruption(name)(subject)
        looks = iter([False, False, True])

        def ordered(deadline: Deadline, times: dict[str, float] = times) -> Any:
            times["ordered"] = time.time()
            return SimpleNamespace(refused=None, poll_error=None)

        def gone(looks: Any = looks, times: dict[str, float] = times) -> bool:
            times["silent"] = time.time()
            return next(looks)

        monkeypatch.setattr(one, "_trigger", ordered)
        monkeypatch.setattr(one, "_is_gone", gone)
        monkeypatch.setattr(one, "_retag_as_gone", lambda: None, raising=False)
        one._do(Deadline(60))
        assert one.moment is not None and (one.moment.before <= times["ordered"]) is by_order, name
        assert one.moment.before <= times["silent"] and one.moment.after >= times["ordered"], name

"""The lab's power button: what is taken for a time is given back by the lab itself, unless somebody says something else before."""

from __future__ import annotations

import pytest

from harness.core.deadline import Deadline
from harness.core.errors import BadUse

NODE = "lknode01"


@pytest.fixture(scope="module")
def lab(make_lab):
    return make_lab("nat")


def power(lab) -> str:
    return next(h["power"] for h in lab.ask("status")["hosts"] if h["name"] == NODE)


def comes_to(lab, state: str) -> None:
    Deadline(120).wait_for(lambda: power(lab), until=lambda now: now == state, what=f"{NODE} being {state}", every=0.05)


@pytest.mark.parametrize(("to", "taken"), [("off", "off"), ("freeze", "frozen"), ("reboot", "off")])
def test_given_back_by_the_lab_itself(lab, to, taken):
    assert lab.ask("power", node=NODE, to=to, seconds=0.3) == taken
    comes_to(lab, "on")
    # It has power before it has booted.
    Deadline(120).wait_for(lambda: lab.sh(NODE, "echo alive").stdout, until=lambda said: said == "alive\n", what=f"{NODE} being up")


def test_a_reboot_comes_back_without_a_time(lab):
    assert lab.ask("power", node=NODE, to="reboot") == "off"
    comes_to(lab, "on")


@pytest.mark.parametrize(("to", "back"), [("off", "on"), ("freeze", "thaw")])
def test_given_back_early_the_timer_is_cancelled(lab, to, back):
    """Otherwise it would end what somebody does later."""
    lab.ask("power", node=NODE, to=to, seconds=1.0)
    first = Deadline(1.3)
    assert lab.ask("power", node=NODE, to=back) == "on"
    lab.ask("power", node=NODE, to="freeze")
    first.wait_for(lambda: first.expired, what="the first one's time")
    assert power(lab) == "frozen"
    lab.ask("power", node=NODE, to="thaw")
    assert lab.ask("power", node=NODE, to="thaw") == "on"  # harmless to one that runs
    assert lab.ask("power", node=NODE, to="on") == "on"


def test_a_time_for_what_needs_none_is_refused(lab):
    for to, seconds in (("on", 1.0), ("thaw", 1.0), ("off", 0.0)):
        with pytest.raises(BadUse, match="a time is for off, reboot and freeze"):
            lab.ask("power", node=NODE, to=to, seconds=seconds)
    assert power(lab) == "on"


def test_what_a_host_cannot_do_is_said_with_the_reason(lab):
    with pytest.raises(BadUse, match=r"cannot do that \(shutdown\): .*no init system"):
        lab.ask("power", node=NODE, to="shutdown")
    assert power(lab) == "on"

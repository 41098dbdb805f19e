"""Management locks: what could not be undone is not done, and a rule that a lock keeps from being deleted shuts nobody out.

Against a lab with the stand-in beside it, which refuses as Azure does (azure-cli 16958).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from azure_labs import AzureLab, subject

from harness.azure.client import error_mapping, sdk_clients
from harness.azure.client.arm import Arm
from harness.azure.faults.undo_leftovers import heal
from harness.azure.faults.undo_tag_validation import Ours
from harness.core.deadline import Deadline
from harness.core.errors import Inconclusive, Unusable
from harness.core.timeline import Timeline
from harness.disrupt import disruption


@pytest.fixture(autouse=True)
def as_before(lab: AzureLab) -> Iterator[None]:
    yield
    lab.own("conditions", "DELETE")
    lab.own("faults", "DELETE")
    heal(lab.azure, Timeline().note, ours=Ours.of(lab.cluster), all_runs=True)
    assert lab.undisturbed() == []


def deny(lab: AzureLab) -> disruption.Disruption:
    one = disruption.get_disruption("azure NSG deny")(subject(lab, Timeline()))
    one._finish_undo = lambda deadline: None  # type: ignore[attr-defined]  # there is no cluster manager to ask
    return one


def group(lab: AzureLab) -> str:
    return Arm(sdk_clients.make_clients(lab.azure)).group


def locked(lab: AzureLab, level: str, scope: str = "") -> None:
    lab.own("conditions", "POST", {"locks": [{"scope": scope or group(lab), "level": level}]})


@pytest.mark.parametrize("level", ["CanNotDelete", "ReadOnly"])
def test_nothing_is_sent_where_a_lock_would_keep_it_there(lab: AzureLab, level: str) -> None:
    locked(lab, level)
    lab.own("requests", "DELETE")
    one = deny(lab)
    with pytest.raises(Inconclusive, match=rf"has the management lock lock \({level}\): what is made could not be removed again"):
        one.begin(Deadline(60))
    one.undo(Deadline(60))
    assert not [r for r in lab.own("requests") if r["method"] in ("PUT", "PATCH", "DELETE")]


def test_nothing_is_sent_where_locks_may_not_be_read(lab: AzureLab) -> None:
    lab.own("faults", "POST", {"kind": "forbidden", "method": "GET", "path": "/locks$", "times": 0})
    lab.own("requests", "DELETE")
    one = deny(lab)
    with pytest.raises(Inconclusive, match="whether it could be undone is not known"):
        one.begin(Deadline(60))
    one.undo(Deadline(60))
    assert not [r for r in lab.own("requests") if r["method"] in ("PUT", "PATCH", "DELETE")]


def test_a_lock_that_comes_meanwhile_shuts_nobody_out(lab: AzureLab) -> None:
    """The rule stays, harmless, with its tag; that is told at once, and heal deletes it when the lock has gone."""
    one = deny(lab)
    one.begin(Deadline(60))
    locked(lab, "CanNotDelete")
    with pytest.raises(Unusable, match=r"a management lock forbids it.*denies nobody any more"):
        one.undo(Deadline(60))
    (rule,) = [r for rules in lab.running.record.ask("nsg").values() for r in rules if r["name"].startswith("lkharness-deny")]
    assert (rule["destination"], rule["access"]) == ("192.0.2.1/32", "deny")
    (told,) = heal(lab.azure, Timeline().note, ours=Ours.of(lab.cluster), all_runs=True)
    assert told.failed and "remove the lock" in told.failed
    lab.own("conditions", "DELETE")
    (told,) = heal(lab.azure, Timeline().note, ours=Ours.of(lab.cluster), all_runs=True)
    assert told.failed is None and lab.undisturbed() == []


def test_a_read_only_lock_is_no_missing_role(lab: AzureLab) -> None:
    """Azure refuses every POST under it, even those that only read: the reason is the lock."""
    from harness.azure.inventory import resource_reader

    locked(lab, "ReadOnly")
    nic = f"{group(lab)}/providers/Microsoft.Network/networkInterfaces/lknode01-nic1"
    with pytest.raises(error_mapping.Locked, match="a management lock forbids it"):
        resource_reader.security(sdk_clients.make_clients(lab.azure), nic, Deadline(20))


def test_a_rule_that_may_not_be_deleted_shuts_nobody_out(lab: AzureLab) -> None:
    """A role that may write rules and not delete them, or a policy that denies the action: the rule is made harmless all the same."""
    one = deny(lab)
    one.begin(Deadline(60))
    lab.own("faults", "POST", {"kind": "forbidden", "method": "DELETE", "path": "/securityRules/", "times": 0})
    with pytest.raises(Unusable, match=r"denies nobody any more.*see to it that it may be deleted"):
        one.undo(Deadline(60))
    (rule,) = [r for rules in lab.running.record.ask("nsg").values() for r in rules if r["name"].startswith("lkharness-deny")]
    assert (rule["destination"], rule["access"]) == ("192.0.2.1/32", "deny")
    lab.own("faults", "DELETE")
    (told,) = heal(lab.azure, Timeline().note, ours=Ours.of(lab.cluster), all_runs=True)
    assert told.failed is None and lab.undisturbed() == []

"""The diagnosis of what the cluster manager says: states, failovers to come, communication paths, and where the VIP is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from diagnosis_sample import FAILED, IN, OUT, SILENT, TAGS, WEB, evidence, faults, node, only, paths, state, with_host

from harness.core.finding import Finding, Weight
from harness.diagnosis.cause import Certainty
from harness.diagnosis.engine import diagnose
from harness.hosts.linux.linux_parse import InterfaceAddress
from harness.managers.manager import Answer, ClusterState, Question, Says


def test_a_resource_that_failed_is_told_with_its_last_words() -> None:
    log = ("Nov 28 22:00:00 lknode01 lcm[1]: ERROR::restore:lbhc-12345:990110:port 12345 cannot be listened on (Address already in use)",)
    base = node("lknode01", log=log)
    seen = replace(base, listeners=[s for s in base.listeners or () if s.port != 12345])
    told = with_host(seen, state=state({"lbhc-12345": FAILED}), paths=paths(client=SILENT, standby=SILENT))
    only(told, "lknode01", "lbhc-12345 failed", "Address already in use")


def test_the_manager_and_the_host_disagree() -> None:
    base = node("lknode01", units={"monitor lbhc-12345": "none"})
    seen = replace(base, listeners=[s for s in base.listeners or () if s.port != 12345])
    only(with_host(seen, paths=paths(client=SILENT, standby=SILENT)), "lknode01", "nobody listens", "disagree", "no monitor operation")


def test_services_apart_are_told_with_both_nodes() -> None:
    seen = evidence(state=state({WEB.tag: OUT}, {WEB.tag: IN}))
    seen = replace(seen, hosts={n: h for n, h in seen.hosts.items() if n == "lkclient"})
    assert [c.host for c in faults(diagnose(seen)) if WEB.tag in c.says and "lknode01" in c.says] == ["lknode02"]


def test_what_speaks_against_the_next_failover_is_a_cause_each() -> None:
    seen = evidence(may_move={Question.LOST: Answer(Says.NO, ("the cluster is in maintenance mode", "a constraint is in force"))})
    assert [c.host for c in faults(diagnose(seen))] == ["lknode02", "lknode02"]
    assert (
        faults(diagnose(evidence(may_move={Question.TOLD: Answer(Says.CANNOT_TELL, ("not read",))}, fencing=Answer(Says.CANNOT_TELL))))
        == []
    )


def test_fencing_that_is_off_is_told_and_what_is_not_known_of_it_is_not() -> None:
    only(evidence(fencing=Answer(Says.NO, ("stonith-enabled is false",))), "lknode02", "stonith-enabled is false")


def test_a_nic_that_is_down_explains_the_dead_communication_path() -> None:
    base = node("lknode02")
    down = [replace(a, state="DOWN") if a.interface == "eth1" else a for a in base.addresses or ()]
    dead = Finding(Weight.FAULT, "lknode02", "communication path", "10.20.2.12/10.20.2.11 is dead", "fix the network")
    only(with_host(replace(base, addresses=down), findings=(dead,)), "lknode02", "eth1", "down")


def test_a_dead_communication_path_that_nothing_explains_is_told_by_itself() -> None:
    dead = Finding(Weight.FAULT, "lknode02", "communication path", "10.20.2.12/10.20.2.11 is dead", "fix the network")
    assert only(evidence(findings=(dead,)), "lknode02", "is dead").certainty is Certainty.LIKELY


def test_a_responder_without_a_monitor_is_told_while_it_still_answers() -> None:
    only(with_host(node("lknode01", units={"monitor lbhc-12345": "none"})), "lknode01", "no monitor operation")


def test_what_a_move_would_leave_behind_is_told_where_it_is_the_files_own() -> None:
    says = "moving cluster-services (manager.resource) does not move ip-10.20.1.200, which the cluster manager has besides"
    only(evidence(left_behind=[says]), "lknode02", "ip-10.20.1.200 would not follow")
    its = says.replace("ip-10.20.1.200", "printer")
    assert faults(diagnose(evidence(left_behind=[its]))) == []
    only(with_host(node("lknode01", units={f"disk of {WEB.tag}": "printer"}), left_behind=[its]), "lknode02", "printer would not follow")


def test_a_vip_that_is_nowhere_though_its_resource_is_in_service() -> None:
    base = node("lknode01")
    seen = replace(base, addresses=[a for a in base.addresses or () if a.address != "10.20.1.200"])
    finding = Finding(Weight.FAULT, "lknode01", "VIP", "10.20.1.200 is on no NIC", "let the manager check it")
    only(with_host(seen, findings=(finding,)), "lknode01", "10.20.1.200 is on no NIC", "disagree")


def test_what_keeps_everything_out_of_service_is_told_with_it() -> None:
    none = state(dict.fromkeys(TAGS, OUT))
    answer = {Question.LOST: Answer(Says.NO, ("the cluster is told to stop all resources", "nothing is in service on either node"))}
    only(evidence(state=none, active=None, paths=(), may_move=answer), "lknode01", "nothing is in service", "told to stop all resources")


def test_a_vip_that_is_on_another_nic_besides() -> None:
    base = node("lknode01")
    seen = replace(base, addresses=[*(base.addresses or ()), InterfaceAddress("lo", "10.20.1.200", 32, "UNKNOWN")])
    only(with_host(seen), "lknode01", "is on lo of lknode01 besides eth1")


LOG = "Nov 28 22:00:{:02} lknode02 pacemakerd[{}] ({})\t{}"
NO_SBD = LOG.format(3, 77, "pcmk__validate_sbd", "emerg: Shutting down: stonith-watchdog-timeout configured (10) but SBD not active")
STARTS = LOG.format(1, 77, "main", "notice: Starting Pacemaker 2.1.5")


@pytest.mark.parametrize(
    ("log", "told"),
    [
        ((STARTS, NO_SBD), True),
        ((NO_SBD, STARTS), False),  # it began again
        ((STARTS, LOG.format(4, 77, "pcmk_shutdown_worker", "notice: Shutting down Pacemaker")), False),
        ((), False),
    ],
)
def test_a_manager_that_ended_by_itself_says_why(log: tuple[str, ...], told: bool) -> None:
    off = replace(state().nodes["lknode02"], running=False, stopped=True, why="it does not run")
    down = with_host(node("lknode02", log=log), state=ClusterState({**state().nodes, "lknode02": off}))
    (cause,) = [c for c in faults(diagnose(down)) if "is stopped or stands aside" in c.says]
    assert ("SBD not active" in cause.says) is told and ("put right what it says" in cause.do) is told

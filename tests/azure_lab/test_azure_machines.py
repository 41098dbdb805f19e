"""Virtual machines through the real SDK: what the lab's Azure is told happens, and what it says is so."""

from __future__ import annotations

import subprocess

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from harness.lab.control import nsenter

NODE = "lknode01"


def run(lab, script: str, node: str = NODE) -> str:
    body = {"commandId": "RunShellScript", "script": script.splitlines()}
    return lab.compute.virtual_machines.begin_run_command(lab.group, node, body).result(30).value[0].message


def test_power_off_cuts_the_node_and_start_brings_it_back(lab) -> None:
    machines = lab.compute.virtual_machines
    assert lab.power_state(NODE) == "PowerState/running"
    machines.begin_power_off(lab.group, NODE, skip_shutdown=True).result(30)
    assert lab.power(NODE) == "off"
    assert lab.power_state(NODE) == "PowerState/stopped"
    machines.begin_start(lab.group, NODE).result(60)
    assert lab.power(NODE) == "on"
    assert lab.power_state(NODE) == "PowerState/running"


@pytest.mark.parametrize(("skip", "goodbye"), [(False, True), (True, False)])
def test_only_an_orderly_power_off_lets_programs_say_goodbye(lab, skip: bool, goodbye: bool) -> None:
    listener = nsenter.command(lab.running.record, "lknode02", ["python3", "-u", "-c", HEARER])
    with subprocess.Popen(listener, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as hearer:
        assert hearer.stdout.readline() == "ready\n"
        nsenter.run(lab.running.record, NODE, ["sh", "-c", f"setsid python3 -c '{SPEAKER}' >/dev/null 2>&1 </dev/null &"])
        assert hearer.stdout.readline() == "hello\n"
        lab.compute.virtual_machines.begin_power_off(lab.group, NODE, skip_shutdown=skip).result(90)
        assert lab.power(NODE) == "off"
        hearer.stdin.close()
        assert ("goodbye" in hearer.stdout.read()) is goodbye


HEARER = """
import os, socket, sys, threading
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("0.0.0.0", 7777)); print("ready")
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
while True: print(s.recv(100).decode())
"""
SPEAKER = """
import signal, socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
s.sendto(b"hello", ("10.20.1.12", 7777))
signal.sigwait({signal.SIGTERM})
s.sendto(b"goodbye", ("10.20.1.12", 7777))
"""


def test_deallocated_is_told_from_stopped(lab) -> None:
    machines = lab.compute.virtual_machines
    machines.begin_deallocate(lab.group, NODE).result(90)
    assert lab.power(NODE) == "off"
    assert lab.power_state(NODE) == "PowerState/deallocated"
    with pytest.raises(HttpResponseError) as refused:
        machines.begin_power_off(lab.group, NODE, skip_shutdown=True, retry_total=0)
    assert refused.value.error.code == "OperationNotAllowed"
    machines.begin_start(lab.group, NODE).result(60)
    assert lab.power_state(NODE) == "PowerState/running"


def test_a_restart_takes_power_away_and_gives_it_back(lab) -> None:
    before = lab.ask("status")["hosts"]
    lab.compute.virtual_machines.begin_restart(lab.group, NODE).result(90)
    after = lab.ask("status")["hosts"]
    assert lab.power(NODE) == "on"
    pids = [{h["name"]: h["pid"] for h in hosts} for hosts in (before, after)]
    assert pids[0][NODE] != pids[1][NODE]
    assert pids[0]["lknode02"] == pids[1]["lknode02"]


def test_what_the_lab_does_by_itself_is_said(lab) -> None:
    lab.ask("power", node=NODE, to="off")
    assert lab.power_state(NODE) == "PowerState/stopped"
    view = lab.compute.virtual_machines.instance_view(lab.group, NODE)
    assert view.vm_agent.statuses[0].display_status == "Not Ready"


def test_run_command_says_both_streams_and_keeps_the_tail(lab) -> None:
    said = run(lab, "hostname\necho wrong >&2\nexit 3")
    assert said == f"Enable succeeded: \n[stdout]\n{NODE}\n\n[stderr]\nwrong\n"
    said = run(lab, "seq 1 5000; echo the end")
    out = said.partition("[stdout]\n")[2].partition("\n[stderr]")[0]
    assert len(out) == 4096
    assert out.endswith("4999\n5000\nthe end\n")


def test_run_command_takes_any_language_and_no_input(lab) -> None:
    assert "42" in run(lab, "#!/opt/lab/bin/python3\nprint(6 * 7)")
    assert "nothing" in run(lab, 'test -z "$(cat)" && echo nothing')


def test_run_command_is_refused_plainly(lab) -> None:
    machines = lab.compute.virtual_machines
    with pytest.raises(HttpResponseError, match="Windows"):
        machines.begin_run_command(lab.group, NODE, {"commandId": "RunPowerShellScript", "script": ["hostname"]})
    lab.ask("power", node=NODE, to="off")
    with pytest.raises(HttpResponseError, match="running"):
        run(lab, "hostname")


def test_tags_are_kept_and_found_again(lab) -> None:
    machines = lab.compute.virtual_machines
    tag = {"lkharness-undo": '{"do":"start","until":1}'}
    assert machines.begin_update(lab.group, NODE, {"tags": tag}).result(30).tags == tag
    machines.begin_power_off(lab.group, NODE, skip_shutdown=True).result(30)
    assert {m.name: m.tags for m in machines.list(lab.group) if m.tags} == {NODE: tag}
    assert machines.begin_update(lab.group, NODE, {"tags": {}}).result(30).tags in (None, {})
    with pytest.raises(HttpResponseError) as refused:
        machines.begin_update(lab.group, NODE, {"tags": {"a": "x" * 257}})
    assert refused.value.error.code == "InvalidTagNameOrValue"


def test_what_there_is_not_is_said_as_azure_says_it(lab) -> None:
    with pytest.raises(ResourceNotFoundError) as unknown:
        lab.compute.virtual_machines.get(lab.group, "nobody")
    assert unknown.value.error.code == "ResourceNotFound"
    with pytest.raises(ResourceNotFoundError) as unknown:
        lab.compute.virtual_machines.get("elsewhere", NODE)
    assert unknown.value.error.code == "ResourceGroupNotFound"


def test_an_operation_in_progress_is_preempted_by_the_next(lab) -> None:
    machines = lab.compute.virtual_machines
    lab.hand.fault("never-ends", method="POST", path="/powerOff$")
    machines.begin_power_off(lab.group, NODE, skip_shutdown=True, polling=False)
    lab.wait_for(lambda: lab.power(NODE) == "off", "the node losing its power")
    machines.begin_start(lab.group, NODE).result(60)
    ended = {o["what"]: (o["status"], (o["error"] or {}).get("code")) for o in lab.hand.operations()[-2:]}
    assert ended == {"powerOff": ("Failed", "OperationPreempted"), "start": ("Succeeded", None)}

"""Azure's run-command as a transport, on a real lab through its stand-in: what a host says comes back whole, or it is told."""

from __future__ import annotations

import base64
import gzip
import lzma
import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from azure.core.exceptions import ResourceExistsError
from azure_labs import AzureLab

from harness.azure.client import sdk_clients
from harness.azure.provision import manager_install
from harness.azure.provision.template import template
from harness.azure.run_command import run_command_call
from harness.azure.run_command.run_command_host import _PACKING, PACKED, PACKED_BY_XZ, RunCommandHost, unpack
from harness.core.deadline import Deadline
from harness.core.errors import Unusable
from harness.hosts.host import CommandFailed, HostUnreachable
from harness.hosts.linux.linux_host import LinuxHost
from harness.lab.control import nsenter
from harness.lab.lifecycle import default_cluster, launch


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureLab]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        running = launch.up(default_cluster.cluster_data(), name="runcommand", persistent=False, network_only=True, azure=True)
        try:
            yield AzureLab(running)
        finally:
            running.down()


@pytest.fixture
def host(lab: AzureLab) -> Iterator[RunCommandHost]:
    talk = sdk_clients.make_clients(lab.azure)
    yield RunCommandHost(talk, "lknode01", "lknode01")
    talk.close()
    lab.own("faults", "DELETE")


def test_a_host_can_be_read(host):
    facts = LinuxHost(host)
    assert facts.hostname() == "lknode01"
    assert "10.20.1.11" in {a.address for a in facts.addresses()}
    assert facts.route_to("10.20.1.12").kind == "unicast"


def test_exit_streams_and_input(host):
    done = host.run("echo out; echo err >&2; exit 7")
    assert (done.exit, done.out, done.err) == (7, "out\n", "err\n")
    assert host.check(["printf", "%s", "two words  kept"]) == "two words  kept"
    assert host.check("cat; echo", input=b"it's here") == "it's here\n"
    assert host.check("echo 'end of it 0'; printf 'no newline'") == "end of it 0\nno newline"
    with pytest.raises(CommandFailed, match="lknode01: `false` exited 1"):
        host.check(["false"])
    assert host.alive()


def test_more_than_comes_back_is_not_taken_for_all(host):
    with pytest.raises(Unusable, match="more than the 4096 characters"):
        host.run("head -c 6000 /dev/urandom | base64")


def packs(script: str, path: str = "") -> tuple[str, int]:
    """What comes back of a script, run here."""
    environment = {"PATH": path} if path else None
    done = subprocess.run(["/bin/sh"], input=_PACKING.format(script=script), capture_output=True, text=True, env=environment)
    assert done.returncode == 0 or path, done.stderr
    return done.stdout, done.returncode


@pytest.mark.parametrize(
    "script", ["echo a; echo b >&2; exit 7", "printf x", "seq 3000; false", "printf 'é\\n\\n'", "exit 0", "cat </dev/null"]
)
def test_what_is_said_comes_back_packed_and_with_its_exit(script):
    plain = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True)
    said, code = packs(script)
    assert unpack(said, code, "vm") == (plain.stdout, plain.returncode)
    assert len(said) < 9000


@pytest.mark.parametrize("packer", ["xz", "gzip"])
def test_it_is_packed_by_what_the_host_has(tmp_path, packer):
    for program in ("base64", "tr", "seq", packer):
        (tmp_path / program).symlink_to(shutil.which(program))
    said, code = packs("seq 3000; exit 3", str(tmp_path))
    assert said.startswith(f"packed by {packer}\n")
    assert unpack(said, code, "vm") == ("".join(f"{n}\n" for n in range(1, 3001)), 3)


def test_a_host_without_gzip_says_it_as_it_is(tmp_path):
    assert unpack(*packs("echo a; exit 7", str(tmp_path)), "vm") == ("a\n", 7)


def zipped(raw: bytes) -> str:
    return base64.b64encode(gzip.compress(raw)).decode()


NOT_OURS = {"no base64": "%%%", "no gzip": "QUJD", "too large": zipped(b"0" * (5 << 20)), "no exit": zipped(b"x\ny")}


@pytest.mark.parametrize("what", NOT_OURS)
def test_what_nobody_packed_is_told_in_one_sentence_and_in_bounded_memory(what):
    with pytest.raises(Unusable, match="vm: what run-command brought back cannot be unpacked"):
        unpack(f"{PACKED}\n{NOT_OURS[what]}", 0, "vm")
    if what != "no base64":
        bad = base64.b64encode(lzma.compress(b"0" * (5 << 20), lzma.FORMAT_ALONE)).decode() if what == "too large" else NOT_OURS[what]
        with pytest.raises(Unusable, match="vm: what run-command brought back cannot be unpacked"):
            unpack(f"{PACKED_BY_XZ}\n{bad}", 0, "vm")
    assert unpack(f"{PACKED}\n", 124, "vm") == ("", 124)


def test_a_lost_answer_is_not_asked_for_again(host, lab):
    """The script may have run."""
    lab.own("requests", "DELETE")
    lab.own("faults", "POST", {"kind": "dropped-after", "method": "POST", "path": "/runCommand$"})
    with pytest.raises(HostUnreachable, match="run-command does not get through"):
        host.run("true")
    assert len(lab.requests("/runCommand")) == 1


def test_somebody_elses_script_is_waited_for(host, lab):
    """409 is a refusal, so nothing has run: it is sent again."""
    other = sdk_clients.make_clients(lab.azure)
    machines, group = other.compute.virtual_machines, lab.azure.resource_group

    def theirs_begun() -> Any:
        try:
            script = ["until [ -e /tmp/theirs-may-end ]; do sleep 0.1; done"]
            return machines.begin_run_command(group, "lknode01", {"commandId": "RunShellScript", "script": script})
        except ResourceExistsError:
            return None  # what the test before left running

    def end_theirs() -> None:
        refused = Deadline(120)
        refused.wait_for(lambda: 409 in {r["status"] for r in lab.requests("/runCommand")}, what="our script being refused", every=0.05)
        nsenter.run(lab.running.record, "lknode01", ["touch", "/tmp/theirs-may-end"])

    lab.own("conditions", "POST", {"one_script": True})
    try:
        theirs = Deadline(120).wait_for(theirs_begun, what="a machine without another's script", every=0.1)
        lab.own("requests", "DELETE")
        with ThreadPoolExecutor(1) as pool:
            ended = pool.submit(end_theirs)
            assert host.check("echo here") == "here\n"
            ended.result()
        theirs.wait(120)
    finally:
        other.close()
        lab.own("conditions", "DELETE")


def test_a_script_ends_on_the_host_itself(host):
    """One that hangs would keep everybody from the machine's run-command for up to 90 minutes."""
    for first in ("", "#!/bin/sh\n"):
        script = run_command_call.wrap_script(f"{first}echo begun; sleep 60", "m", {}, 1.0)
        done = subprocess.run(["sh"], input=script, capture_output=True, text=True, timeout=30)
        said = run_command_call.parse_output((done.stdout, done.stderr), "m", "vm")
        assert (said.out, said.exit) == ("begun\n", 124)


def test_a_machine_that_is_off(host, lab):
    lab.running.record.ask("power", node="lknode01", to="off")
    try:
        with pytest.raises(HostUnreachable, match="run-command does not get through"):
            host.run("true")
        assert not host.alive()
    finally:
        lab.running.record.ask("power", node="lknode01", to="on")


def test_nothing_is_streamed(host):
    with pytest.raises(HostUnreachable, match="streams nothing"):
        host.start("true")


PARAMETERS = template.parameters_of(
    template.load(), {"location": "x", "tags": {}, "design": "floating", "sshPublicKey": "ssh-ed25519 A", "ports": [80, 1521]}
)


def test_a_cluster_managers_script_is_told_where_it_runs(lab, host):
    said: list[str] = []
    script = 'env | grep ^LKH_ | sort >/tmp/told; echo "$LKH_NODE" >/tmp/who'
    manager_install.install(sdk_clients.make_clients(lab.azure), PARAMETERS, "run1", script, Deadline(60), said.append)
    told = host.check(["cat", "/tmp/told"])
    for line in (
        "LKH_FIRST=yes",
        "LKH_PEER=lknode02",
        "LKH_NODE_SECOND=10.20.2.11",
        "LKH_DESIGN=floating",
        "LKH_PORTS=80 1521",
        "LKH_RUN=run1",
    ):
        assert line in told.splitlines()
    other = RunCommandHost(sdk_clients.make_clients(lab.azure), "lknode02", "lknode02")
    assert other.check(["cat", "/tmp/who"]) == "lknode02\n"
    assert len(said) == 2 and "LKH_FIRST=no" in other.check(["cat", "/tmp/told"])


def test_a_cluster_managers_script_that_fails_is_told(lab):
    script = 'test "$LKH_FIRST" = yes || { echo "no licence found" >&2; exit 3; }'
    with pytest.raises(Unusable, match="lknode02: the cluster manager's script exited 3 and said: no licence found"):
        manager_install.install(sdk_clients.make_clients(lab.azure), PARAMETERS, "run1", script, Deadline(60), lambda text: None)


def test_the_repos_own_script_is_sound_shell():
    script = manager_install.script_of("pacemaker")
    assert script is not None and manager_install.script_of("none") is None
    done = subprocess.run(["sh", "-n"], input=script, text=True, capture_output=True)
    assert (done.returncode, done.stderr) == (0, "")
    told = set(re.findall(r"LKH_[A-Z_]+", script))
    assert told <= set(manager_install.variables(PARAMETERS, 0, "run1"))


@pytest.mark.parametrize("message", ["", "Enable failed: no agent", "Enable succeeded: \n[stdout]\nbegin m\nhalf\n[stderr]\n"])
def test_an_answer_without_its_end_is_told(message):
    with pytest.raises(Unusable, match="the script's end is not in what"):
        run_command_call.parse_output(
            run_command_call.split_streams([{"code": "ProvisioningState/succeeded", "message": message}]), "m", "vm"
        )

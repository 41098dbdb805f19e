"""Azure's run-command as a transport, on a real lab through its stand-in: what a host says comes back whole, or it is told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from azure_labs import AzureLab

from harness.azure import clients, run_script
from harness.azure.run_command import RunCommandHost
from harness.errors import Unusable
from harness.hosts.base import CommandFailed, HostUnreachable
from harness.hosts.linux import LinuxHost
from harness.lab import launch, seed


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureLab]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        running = launch.up(seed.cluster_data(), name="runcommand", persistent=False, network_only=True, azure=True)
        try:
            yield AzureLab(running)
        finally:
            running.down()


@pytest.fixture
def host(lab: AzureLab) -> Iterator[RunCommandHost]:
    talk = clients.of(lab.azure)
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
        host.run("seq 5000")


def test_a_lost_answer_is_not_asked_for_again(host, lab):
    """The script may have run."""
    lab.own("requests", "DELETE")
    lab.own("faults", "POST", {"kind": "dropped-after", "method": "POST", "path": "/runCommand$"})
    with pytest.raises(HostUnreachable, match="run-command does not get through"):
        host.run("true")
    assert len(lab.requests("/runCommand")) == 1


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


@pytest.mark.parametrize("message", ["", "Enable failed: no agent", "Enable succeeded: \n[stdout]\nbegin m\nhalf\n[stderr]\n"])
def test_an_answer_without_its_end_is_told(message):
    with pytest.raises(Unusable, match="the script's end is not in what"):
        run_script.read(message, "m", "vm")

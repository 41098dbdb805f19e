"""A lab's node as a stand-in for a Windows host: a real sshd, our own scripts, and what they do to the Linux node beneath."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator

import pytest

from harness.config import cluster_config
from harness.core.deadline import Deadline
from harness.hosts.ssh.ssh_host import SshHost
from harness.hosts.windows.boot_identity import boot_of, booted_between
from harness.hosts.windows.scheduled_undo import Deed, WindowsChange, WindowsDeadman, effect_in_force, remains, rule_name
from harness.hosts.windows.script_runner import ask, runner_of
from harness.hosts.windows.windows_host import WindowsHost
from harness.lab.control import nsenter
from harness.lab.lifecycle import default_cluster, launch

pytestmark = pytest.mark.skipif(
    not (shutil.which("mcs") and shutil.which("mono")), reason="Mono is not installed (Debian packages mono-mcs and mono-runtime)"
)
LEASE = "0123456789abcdef"


@contextlib.contextmanager
def lab_of_nodes() -> Iterator[launch.RunningLab]:
    data = default_cluster.cluster_data("fast", default_cluster.with_platform({"name": "test"}, "windows", None))
    lab = launch.up(data, name="windows-shaped", persistent=False, network_only=True)
    try:
        yield lab
    finally:
        lab.down()


def test_a_node_is_asked_cut_off_and_undoes_it_by_itself() -> None:
    with lab_of_nodes() as lab:
        cluster = cluster_config.load(lab.cluster_file, trusted=True)
        node, other = cluster.nodes
        host = SshHost(node)
        try:
            facts = WindowsHost(host, limit=60.0)
            assert {(a.interface, a.address) for a in facts.addresses()} >= {("Ethernet", str(node.address))}
            assert facts.hostname() == node.name and facts.about().elevated and facts.boot_id() == "boot 1"
            refused = host.run("cat /etc/hosts", limit=60.0)
            assert refused.exit == 96 and "not Windows" in refused.err
            with contextlib.closing(host.start("Get-Date")) as process:  # PowerShell's progress in XML is nothing for a person
                assert list(process.lines()) == []
                assert "a script that is not known was sent: 'Get-Date'" in process.errors and "<Obj" not in process.errors
            for origin, code in ((other, 124), (node, 1)):  # stealth mode: silent to others, refused on the node itself (WNET-13, 14)
                closed = ["timeout", "1", "bash", "-c", f"exec 3<>/dev/tcp/{node.address}/1521"]
                assert nsenter.run(lab.record, origin.name, closed).returncode == code
            said = {"Verb": "take", "Token": LEASE, "Holder": "a test", "Term": 600, "Longest": 900}
            assert ask(host, "lease", said, limit=60.0).rows[0]["State"] == "mine"
            assert ask(host, "lease", {**said, "Token": LEASE[::-1]}, limit=60.0).rows[0]["State"] == "held"

            deadman = WindowsDeadman(host, "a cut", longest=600.0, lease=LEASE)
            rule = rule_name(deadman.token)
            change = WindowsChange("firewall", rule=rule)
            deed = Deed("cut", {"Rule": rule, "Local": [str(node.address)], "Remote": [str(other.address)]})
            assert deadman.do(change, deed, limit=60.0) is not None
            connect = ["timeout", "1", "bash", "-c", f"exec 3<>/dev/tcp/{node.address}/22"]
            assert effect_in_force(host, change)[0] and nsenter.run(lab.record, other.name, connect).returncode == 124
            assert remains(host) == [f"undoing {deadman.token} of {deadman.of}"]
            assert deadman.undo(Deadline(120.0)) is True
            assert remains(host) == [] and not effect_in_force(host, change)[0]
            connect[1] = "60"
            assert nsenter.run(lab.record, other.name, connect).returncode == 0
            assert ask(host, "lease", {**said, "Verb": "give"}, limit=60.0).rows[0]["State"] == "gone"
            assert runner_of(host).starts == 1 and runner_of(host).why_alone == ""
        finally:
            host.close()


@pytest.mark.deep
def test_what_a_power_loss_interrupted_is_undone_after_the_boot() -> None:
    """Rules and disabled adapters outlive a boot on Windows; so does the task that undoes them, which waits no longer then."""
    with lab_of_nodes() as lab:
        node, other = cluster_config.load(lab.cluster_file, trusted=True).nodes
        for thing_of, deed_of in (
            (
                lambda rule: WindowsChange("firewall", rule=rule),
                lambda rule: Deed("cut", {"Rule": rule, "Local": [str(node.address)], "Remote": [str(other.address)]}),
            ),
            (
                lambda rule: WindowsChange("nic", nic="Ethernet 2", address=str(node.second_address)),
                lambda rule: Deed("nic-down", {"Nic": "Ethernet 2", "Address": str(node.second_address)}),
            ),
        ):
            host = SshHost(node)
            try:
                deadman = WindowsDeadman(host, "a fault", longest=3600.0)
                rule = rule_name(deadman.token)
                assert deadman.do(thing_of(rule), deed_of(rule), limit=60.0) is not None and effect_in_force(host, thing_of(rule))[0]
                before = boot_of(host, limit=60.0)
                lab.record.ask("power", node=node.name, to="off")
                lab.record.ask("power", node=node.name, to="on")
            finally:
                host.close()
            back = SshHost(node)
            try:
                Deadline(120.0).wait_for(lambda back=back: remains(back) == [], what="the undoing after the boot", every=0.2)
                assert not effect_in_force(back, thing_of(rule))[0] and booted_between(before, boot_of(back, limit=60.0))
            finally:
                back.close()

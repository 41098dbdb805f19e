"""The ways in which a cluster is broken that `lkharness check` has to find and name (issue 4, section 5), made on a running lab."""

from __future__ import annotations

from harness.config import cluster_config
from harness.core.deadline import Deadline
from harness.hosts.ssh.ssh_host import connect_all
from harness.lab.control.lab_registry import LabRecord
from harness.managers.manager_registry import manager_of

STAND_IN = "setsid /opt/lab/bin/lab-python -m harness.lab.services"
QUIET = "</dev/null >/dev/null 2>&1 &"
END_OF = "kill -9 $(ss -Hltnp 'sport = :{port}' | sed 's/.*pid=//;s/,.*//')"
RESPONDER = f"{STAND_IN}.echo --port 12345 --node lknode01 --bind {{bind}} {QUIET}"
FAULTS = {  # what is done on which node of a lab whose manager leaves it alone
    "listener on the VIP only": (
        "lknode01",
        f"{END_OF.format(port=1521)}; {STAND_IN}.tns_listener --port 1521 --bind 10.20.1.200 --node lknode01 {QUIET}",
    ),
    "VIP /24": ("lknode01", "ip addr add 10.20.1.200/24 dev eth1; ip addr del 10.20.1.200/32 dev eth1"),
    "VIP on Subnet#1's NIC": ("lknode01", "ip addr add 10.20.1.200/32 dev eth0; ip addr del 10.20.1.200/32 dev eth1"),
    "responder bound to the VIP": ("lknode01", f"{END_OF.format(port=12345)}; {RESPONDER.format(bind='10.20.1.200')}"),
    "probe port is sshd's": ("lknode02", f"setsid /usr/sbin/sshd -D -p 12345 {QUIET}"),
    "rp_filter strict": ("lknode01", "echo 1 >/proc/sys/net/ipv4/conf/eth0/rp_filter; echo 1 >/proc/sys/net/ipv4/conf/eth1/rp_filter"),
    "both nodes listening": ("lknode02", RESPONDER.format(bind="0.0.0.0")),
    "tcp_timestamps": ("lknode01", "echo 1 >/proc/sys/net/ipv4/tcp_timestamps"),
}

NAMED = {  # host, what the finding is about, and what it says
    "listener on the VIP only": ("lknode01", "listener of listener", "10.20.1.200"),
    "VIP /24": ("lknode01", "VIP", "prefix /24"),
    "VIP on Subnet#1's NIC": ("lknode01", "VIP", "is on eth0, not on eth1"),
    "responder bound to the VIP": ("lknode01", "probe port", "listened to on 10.20.1.200 only"),
    "probe port is sshd's": ("lknode02", "probe port", "is sshd's"),
    "rp_filter strict": ("lknode01", "rp_filter", "strict"),
    "both nodes listening": ("lknode02", "probe port", "the node is not active"),
    "tcp_timestamps": ("lknode01", "tcp_timestamps", "it is on"),
}


def cut_a_comm_path(lab: LabRecord) -> None:
    """In Subnet#2, in both directions; returns when the nodes call it dead."""
    for source, destination in (("10.20.2.11", "10.20.2.12"), ("10.20.2.12", "10.20.2.11")):
        lab.ask("cut", source=source, destination=destination)
    cluster = cluster_config.load(lab.cluster_file)
    hosts = connect_all(cluster)
    try:
        state = manager_of(cluster, hosts).state
        dead = Deadline(20.0)
        dead.wait_for(lambda: [p for n in state().nodes.values() for p in n.comm_paths if not p.alive], what="the path being dead")
    finally:
        for host in hosts.values():
            host.close()

"""What customers have on their nodes besides the cluster under test: none of it is ours, and all of it must live on untouched.

A second service with its own address on the NIC of the cluster's, a third one's data on the shared disk, users without rights, an account
whose login shell is no POSIX shell, a firewall with zones of its own, files. All of it is made by commands inside the hosts.
"""

from __future__ import annotations

from harness.lab.control import nsenter
from harness.lab.control.lab_registry import LabRecord

MARK = "customer-works"  # in the arguments of every process of theirs
VIP, PORT, USER = "10.20.1.210", 8081, 1500
SERVER = "import socket, time; s = [socket.create_server((a, {port})) for a in ({vip!r},)]; time.sleep(1e6)"

# On the disk, once. The account `operator` logs in to a program that understands no shell language.
DISK = f"""
mkdir -p /opt/customer /etc/customer /srv/customer /root/.customer
printf '#!/bin/sh\\nexit 64\\n' >/opt/customer/menu && chmod 755 /opt/customer/menu
echo 'alex:x:{USER}:{USER}:Alex:/srv/customer:/bin/bash' >>/etc/passwd
echo 'alex:x:{USER}:' >>/etc/group
echo 'operator:x:1501:1501:Operator:/srv/customer:/opt/customer/menu' >>/etc/passwd
echo /opt/customer/menu >>/etc/shells
echo 'secret = 1' >/etc/customer/app.conf && chmod 640 /etc/customer/app.conf && chown 0:{USER} /etc/customer/app.conf
echo notes >/root/.customer/notes
mkdir -p /var/tmp/lkharness-of-a-customer && echo theirs >/var/tmp/lkharness-of-a-customer/file
chown -R {USER}:{USER} /srv/customer
"""
# In memory, after each boot, as the customer's own units would do. One of the processes has a name that looks like one of ours.
# The first folders are what the first takeover leaves on a node; this cluster has had one.
BOOT = f"""
for folder in /run/mount /run/resource-agents /run/lock /srv/shared; do [ -d $folder ] || install -d $folder; done
[ -d /run/postgresql ] || install -d -o postgres -g postgres /run/postgresql
nft -f - <<'RULES'
table inet firewalld {{
  set trusted {{ type ipv4_addr; flags interval; elements = {{ 10.20.0.0/16 }} }}
  chain filter_INPUT {{
    type filter hook input priority filter + 10; policy accept;
    ct state {{ established, related }} accept
    iifname "lo" accept
    ip saddr @trusted jump filter_IN_customer
  }}
  chain filter_IN_customer {{
    tcp dport 65000 counter drop
  }}
}}
RULES
mkdir -p /run/customer && echo theirs >/run/customer/state && chown {USER}:{USER} /run/customer
as_alex() {{ setsid setpriv --reuid={USER} --regid={USER} --clear-groups "$@" </dev/null >/dev/null 2>&1 & }}
as_alex env LKHARNESS_DEADMAN=theirs bash -c 'exec -a {MARK}-session sleep 1000000'
setsid bash -c 'exec -a {MARK}-daemon sleep 1000000' </dev/null >/dev/null 2>&1 &
"""
# The second service has its address where its own manager put it: on the first node, on the NIC of the cluster's.
SECOND = f"""
ip addr add {VIP}/32 dev eth1
as_alex /opt/lab/bin/python3 -S -c "{SERVER.format(port=PORT, vip=VIP)} # {MARK}-second"
until ss -Hltn | grep -q '{VIP}:{PORT}'; do :; done
"""
# The third has its data on the disk that the nodes share; who has it mounted has the data, too.
THIRD = f"""
mountpoint -q /srv/shared || exit 0
mkdir /srv/shared/customer; echo 'their records' >/srv/shared/customer/records
chown -R {USER}:{USER} /srv/shared/customer && chmod 700 /srv/shared/customer
"""


class Customer:
    """`second`: has the second service as long as it has power."""

    def __init__(self, lab: LabRecord, *, second: str = "lknode01") -> None:
        self._lab = lab
        self._second = second

    def move_in(self) -> None:
        """On every host, with the shared disk's part on the node that has it mounted."""
        for host in (h["name"] for h in self._lab.ask("status")["hosts"]):
            self._run(host, DISK)
            self.boot(host)
            self._run(host, THIRD)

    def boot(self, host: str) -> None:
        """What their own units do when a host boots."""
        self._run(host, BOOT + (SECOND if host == self._second else ""))

    def _run(self, host: str, lines: str) -> None:
        done = nsenter.run(self._lab, host, ["bash", "-eu"], limit=120.0, input=lines)
        assert done.returncode == 0, (host, done.stderr)

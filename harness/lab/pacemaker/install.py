"""Puts the configuration of Corosync and Pacemaker on a node's disk, with a script that starts both as their units would."""

from __future__ import annotations

import grp
import hashlib
import os
import pwd
from collections.abc import Mapping
from pathlib import Path

from harness.config.cluster_config import Cluster
from harness.lab.lifekeeper_config import PYTHON
from harness.lab.linux.host_filesystem import Disk, FileSystem
from harness.lab.pacemaker import cib, fence_agent, monitor_hook

START = "/opt/lab/bin/cluster-start"
CONSENSUS = 1.2  # how many tokens long the rest has to agree that a node is gone; Corosync's own default
QUIET_ROTATIONS = 2  # after which the token rests; with Corosync's thirty each message has it go round for milliseconds on both nodes
FENCE_SOCKET = Path("/run/fence.sock")
CIB = "var/lib/pacemaker/cib/cib.xml"
# Corosync first, then Pacemaker, which supervises its own daemons. What tmpfiles.d and the units' environment do on a machine is done here.
SCRIPT = """#!/bin/sh
PATH=/opt/lab/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
mkdir -p /run/resource-agents /run/crm
set -a; . /etc/default/pacemaker; set +a
corosync || exit 1
setsid pacemakerd </dev/null >>/var/log/pacemaker/pacemakerd.out 2>&1 &
"""
FENCE_METADATA = "/opt/lab/fence_lab.xml"
# Pacemaker gives an agent five seconds for its description, which is less than an interpreter may take to start in an emulated machine.
FENCE_SCRIPT = f"""#!/bin/sh
options=$(cat)
case "$options" in
  *action=metadata*) exec cat {FENCE_METADATA} ;;
esac
exec {PYTHON} -m harness.lab.pacemaker.fence_agent "$@" <<END
$options
END
"""
ENVIRONMENT = "PCMK_logfile=/var/log/pacemaker/pacemaker.log\nPCMK_logfacility=none\n"
PAM = "auth sufficient pam_rootok.so\naccount sufficient pam_permit.so\npassword required pam_deny.so\nsession sufficient pam_permit.so\n"


def configure(
    disk: Disk,
    cluster: Cluster,
    secret: str,
    sbin: str,
    *,
    azure: Mapping[str, str] | None = None,
    environment: str = "",
    disk_device: str | None = None,
) -> None:
    """What every node has of the lab, whatever it is made of. `secret` is the lab's own; Corosync's key is made of it, so that both nodes
    have the same. `sbin` is where /usr/sbin lies on this disk; `azure` and `disk_device` as the CIB takes them;
    `environment`: further lines of Pacemaker's."""
    disk.write("etc/corosync/corosync.conf", corosync(cluster))
    key = disk.disk / "etc/corosync/authkey"
    key.write_bytes(hashlib.shake_256(b"corosync " + secret.encode()).digest(256))
    key.chmod(0o400)
    disk.write("etc/default/pacemaker", ENVIRONMENT + environment)
    disk.write(monitor_hook.PATH.lstrip("/"), monitor_hook.script(), mode=0o755)
    disk.write(f"{sbin}/{cib.FENCE_AGENT}", FENCE_SCRIPT, mode=0o755)
    disk.write(FENCE_METADATA.lstrip("/"), f"{fence_agent.METADATA}\n")
    disk.write(CIB, cib.text(cluster, azure=azure, disk_device=disk_device), mode=0o600)


def install(disk: FileSystem, cluster: Cluster, secret: str) -> None:
    """All of it for a node that shares this machine's packages."""
    configure(disk, cluster, secret, sbin="usr-sbin")
    for name in ("su", "su-l", "runuser", "runuser-l", "other"):  # agents change to a service's account
        disk.write(f"etc/pam.d/{name}", PAM)
    disk.write(START.lstrip("/"), SCRIPT, mode=0o755)
    (disk.disk / "etc/mtab").symlink_to("../proc/self/mounts")  # where Filesystem looks for bind mounts
    _state(disk)


def accounts() -> list[str]:
    """Pacemaker's own account, by the machine's numbers, as lines of /etc/passwd and /etc/group."""
    user, group = pwd.getpwnam("hacluster"), grp.getgrnam("haclient")
    passwd = f"hacluster:x:{user.pw_uid}:{group.gr_gid}:hacluster:/var/lib/pacemaker:/usr/sbin/nologin"
    return [passwd, f"haclient:x:{group.gr_gid}:"]


def _state(disk: FileSystem) -> None:
    user, group = pwd.getpwnam("hacluster").pw_uid, grp.getgrnam("haclient").gr_gid
    for name in ("", "/cib", "/pengine", "/cores", "/blackbox"):
        folder = disk.disk / f"var/lib/pacemaker{name}"
        folder.mkdir(parents=True, exist_ok=True)
        os.chown(folder, user, group)
    os.chown(disk.disk / CIB, user, group)
    for name in ("log/pacemaker", "log/corosync", "lib/corosync"):
        (disk.disk / "var" / name).mkdir(parents=True, exist_ok=True)
    os.chown(disk.disk / "var/log/pacemaker", user, group)


def corosync(cluster: Cluster) -> str:
    """Two links, unicast; a node is lost after the heartbeats that the cluster file says. Both must have been seen once before either may
    act alone (wait_for_all, which two_node brings); then each may, and fencing decides."""
    token = round(cluster.manager.heartbeat_s * cluster.manager.heartbeats_missed * 1000 / (1 + CONSENSUS))
    nodes = "".join(
        f"  node {{\n    name: {n.name}\n    nodeid: {i}\n    ring0_addr: {n.address}\n    ring1_addr: {n.second_address}\n  }}\n"
        for i, n in enumerate(cluster.nodes, start=1)
    )
    return f"""totem {{
  version: 2
  cluster_name: {cluster.name}
  transport: knet
  link_mode: passive
  token: {token}
  consensus: {round(token * CONSENSUS)}
  seqno_unchanged_const: {QUIET_ROTATIONS}
  crypto_cipher: aes256
  crypto_hash: sha256
}}
nodelist {{
{nodes}}}
quorum {{
  provider: corosync_votequorum
  two_node: 1
}}
logging {{
  to_stderr: no
  to_syslog: no
  to_logfile: yes
  logfile: /var/log/corosync/corosync.log
  timestamp: hires
}}
system {{
  move_to_root_cgroup: no
}}
"""

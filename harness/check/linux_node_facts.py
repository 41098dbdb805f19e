"""From what a Linux host printed for `harness.collect.linux_host_script` to the facts that findings are made of. Pure.

The same for a live look and for a bundle. What a host did not tell is named with the reason that its tools gave.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from harness.check.node_facts import NodeFacts
from harness.cluster import linux_disk_space
from harness.config.cluster_config import Cluster
from harness.core.text.host_text import cut_at_word
from harness.diagnosis import linux_host_script_parse
from harness.diagnosis.evidence import HostSeen
from harness.hosts.linux.linux_parse import Listener

TOOL = {"addresses": "ip addr", "listening": "ss -tlnp"}
NOT_INSTALLED = 127
Offset = tuple[float, float]


def of_script(
    cluster: Cluster,
    host_seen: HostSeen,
    text: str,
    *,
    offset: Offset | None = None,
    not_told: Sequence[str] = (),
    failed: Mapping[str, str] | None = None,
    settings: Mapping[str, str] | None = None,
    disks: Sequence[str] | None = None,
) -> NodeFacts:
    """`text` is what was printed, `host_seen` what `linux_host_script_parse` made of it. `not_told` is known to be missing from it;
    `failed` has why a section is not there. `settings` and `disks` stand for sections that an older text lacks."""
    parts, name = linux_host_script_parse.sections(text), host_seen.name
    if refused := parts.get("rights", "").split("\n"):
        lines = ", ".join(f"`{line.strip()}`" for line in refused if line.strip())
        lack = f"what sudo refuses: {name}: it does not allow {lines}; `lkharness sudoers` prints the lines that are lacking"
        not_told = [*not_told, *([lack] if lines else [])]
    firewall = parts.get("firewall") if host_seen.firewall is not None else None
    addresses = list(host_seen.addresses) if host_seen.addresses is not None else None
    if name == cluster.client.name:  # whose firewall an ordinary user need not be able to read
        return NodeFacts(
            name, addresses if firewall else None, firewall=firewall or None, offset=offset, not_told=tuple(not_told), seen=host_seen
        )
    listeners = (
        [Listener(s.address, s.port, "tcp", s.pid, s.process) for s in host_seen.listeners] if host_seen.listeners is not None else None
    )
    vip, probe = str(cluster.vip), str(cluster.load_balancer.probe.source)
    own_address = next((str(node.address) for node in cluster.nodes if node.name == name), "")
    sysctls = {**(settings or {}), **host_seen.sysctls}
    full = linux_disk_space.judge(parts["disks"]) if parts.get("disks") else disks
    there = {
        ("its addresses", "addresses"): addresses is not None,
        ("its listeners", "listening"): listeners is not None,
        ("its route to the VIP", vip): (vip, "") in host_seen.routes,
        ("its route to the probe", probe): (probe, "") in host_seen.routes,
        ("its kernel's settings", "sysctls"): bool(sysctls),
        ("its firewall", "firewall"): firewall is not None,
        ("its disks", "disks"): full is not None,
    }
    missing = [f"{what}: {name}: {_why(parts, of, failed or {})}" for (what, of), is_there in there.items() if not is_there]
    to_vip = host_seen.routes.get((vip, ""))
    # The probe asks the node's own address, so its answers have that source: a rule `from` it decides, not the default route alone.
    to_probe = host_seen.routes.get((probe, own_address)) or host_seen.routes.get((probe, ""))
    fields = (name, addresses, listeners, to_vip, to_probe, sysctls, firewall, offset, (*not_told, *missing), tuple(full or ()))
    return NodeFacts(*fields, seen=host_seen)


def _why(parts: Mapping[str, str], of: str, failed: Mapping[str, str]) -> str:
    """Why a section, or the route to an address, is not to be had."""
    is_route = re.fullmatch(r"[\d.]+", of) is not None
    if why := failed.get("routes" if is_route else of):
        return why
    for line in parts.get("failed", "").splitlines():
        words = line.split(maxsplit=2)
        if len(words) > 1 and words[0] == of and words[1].isdigit():
            message, tool = words[2] if len(words) > 2 else "nothing", TOOL.get(of, "")
            if tool and int(words[1]) == NOT_INSTALLED:
                return f"`{tool.split()[0]}` is not installed there; install the package iproute2 (iproute)"
            return f"`{tool}` exited {words[1]} and said: {message}" if tool else message
    printed = parts.get(of, "").strip()
    if is_route:
        block = re.search(rf"(?m)^# {re.escape(of)} *\n((?:(?!# ).*\n?)*)", parts.get("routes", ""))
        printed = block[1].strip() if block else ""
    return f"what was printed cannot be read: {cut_at_word(printed.splitlines()[-1], 200)}" if printed else "nothing was printed"


def offset_of(text: str, asked_at: float, answered_at: float) -> Offset | None:
    """How far a host's clock is ahead, and how wrong that may be, both in seconds: its first look at its clock came after
    `asked_at`, its last before `answered_at`, both by the harness's clock, so the time that the script took does not count."""
    parts = linux_host_script_parse.sections(text)
    first, last = (re.match(r"(\d{1,12}\.\d{1,9})(\s|$)", parts.get(name, "")) for name in ("time", "ended"))
    if first is None or last is None:
        return None
    most, least = float(first[1]) - asked_at, float(last[1]) - answered_at
    return (most + least) / 2, abs(most - least) / 2

"""Is Pacemaker's fencing proven to work: in use, a device started that covers both nodes, and none that failed last. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from xml.etree import ElementTree as xml

from harness.managers.manager import Answer, answer
from harness.managers.parse.pacemaker_parse import Reading, document, read
from harness.managers.switchover_readiness import NodeOutput, last_words


def lacks_devices(outputs: Mapping[str, NodeOutput], cut: str) -> bool:
    """Is there a node that has fencing in use, and no fence device? Outputs as for `fenced_by`."""
    monitors = [(output.text or "").partition(cut)[0] for output in outputs.values()]
    roots = [root for text in monitors if read(text).fencing_enabled and (root := document(text)) is not None]
    return any(not _devices(root) for root in roots)


def fences_by_watchdog(cib: NodeOutput) -> bool:
    """Do nodes that lose the other reset themselves by a hardware watchdog (SBD without a disk)? By the cluster's options: it found SBD
    running, and was told to rely on it."""
    root = document(cib.text or "")
    pairs = () if root is None else root.iterfind("configuration/crm_config//nvpair")
    options = {pair.get("name", ""): pair.get("value", "") for pair in pairs}
    timeouts = (options.get("stonith-watchdog-timeout", ""), options.get("fencing-watchdog-timeout", ""))
    return options.get("have-watchdog", "").lower() == "true" and any(re.search("[1-9]", timeout) for timeout in timeouts)


def fenced_by(outputs: Mapping[str, NodeOutput], names: Sequence[str], cut: str, watchdog: bool = False) -> Answer:
    """Of every node: crm_mon's XML, then, each behind a line `cut`, the devices that may fence each of `names` (`stonith_admin -l`).

    A node never has to fence itself, and a device is often kept off the node that it fences. `watchdog`: where there is no device at all,
    nodes reset themselves (`fences_by_watchdog`)."""
    against: list[str] = []
    unknown: list[str] = []
    for node, output in outputs.items():
        monitor, *lists = (output.text or "").split(cut)
        reading, root = read(monitor), document(monitor)
        if output.text is None or root is None or reading.why:
            unknown.append(f"{node}: {output.why if output.text is None else reading.why}")
            continue
        if reading.fencing_enabled is None:
            unknown.append(f"{node}: whether fencing is in use could not be read")
        elif not reading.fencing_enabled:
            against.append("fencing is not in use (stonith-enabled)")
            continue
        started = _started_devices(root)
        by_itself = watchdog and not _devices(root)
        if not started and not by_itself:
            against.append(f"no fence device is started{_failure_reasons(root)}")
        if len(lists) != len(names) and not by_itself:
            unknown.append(f"{node}: which fence devices cover each node could not be asked")
        bans = _describe_bans(node, root, reading)
        for name, listed in zip(names, lists, strict=False):
            if started and name != node and not {line.strip() for line in listed.splitlines()} & started:
                against.append(f"no started fence device covers {name}; stonith_admin on {node} said: {last_words(listed)}{bans}")
        against += _failed_fencings(root, {*names, *(n.get("name", "") for n in root.findall("nodes/node"))})
        history = root.find("fence_history")  # left out where there is none
        if history is not None and history.get("status", "0") != "0":
            unknown.append(f"{node}: whether fencing failed before could not be read")
    return answer(against, unknown)


def _describe_bans(node: str, root: xml.Element, reading: Reading) -> str:
    """A node uses a device that runs elsewhere as well, unless a constraint forbids it the device."""
    devices = _devices(root)
    bans = [f"{id} keeps {device} off {node}" for id, device, where in sorted(reading.bans) if where == node and device in devices]
    return f"; the constraint {', '.join(bans)}" if bans else ""


def _devices(root: xml.Element) -> set[str]:
    return {r.get("id", "") for r in root.iter("resource") if r.get("resource_agent", "").startswith("stonith:")}


def _failure_reasons(root: xml.Element) -> str:
    """What the devices failed of, as crm_mon has it from their agents."""
    devices, reasons = _devices(root), []
    for failure in root.iterfind("failures/failure"):
        device = next((d for d in devices if failure.get("op_key", "").startswith(f"{d}_")), None)
        if device is not None:
            why = failure.get("exitreason") or failure.get("exitstatus") or "it does not say why"
            reasons.append(f"{device} failed on {failure.get('node', 'a node')} ({failure.get('task') or 'start'}): {why}")
    return f": {'; '.join(dict.fromkeys(reasons))}" if reasons else ""


def _started_devices(root: xml.Element) -> set[str]:
    """Fence devices that are in service somewhere, and not called failed."""
    return {
        r.get("id", "")
        for r in root.iter("resource")
        if r.get("resource_agent", "").startswith("stonith:")
        and r.get("role", "").lower() == "started"
        and r.get("active") == "true"
        and r.get("failed") != "true"
        and r.find("node") is not None
    }


def _failed_fencings(root: xml.Element, nodes: Collection[str]) -> list[str]:
    """Nodes of which the last that was tried, by any device, failed or has not ended. What is none of the cluster's `nodes`, as one that
    was taken out of it, needs no fencing any more."""
    last: dict[str, tuple[str, str]] = {}
    for event in root.findall("fence_history/fence_event"):
        target, when = event.get("target", ""), event.get("completed", "9")
        if when >= last.get(target, ("", ""))[0]:
            last[target] = (when, event.get("status", ""))
    return [f"the last fencing of {target} is {status}" for target, (_, status) in last.items() if status != "success" and target in nodes]

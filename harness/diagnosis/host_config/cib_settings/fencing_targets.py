"""Which fence device is asked for which node, and whether one of two nodes is the faster one. Pure.

Pacemaker Explained, "Fencing": once a node is in the topology no other devices than those of its levels are asked; two nodes that lose each
other both begin to fence, and a delay of one of them decides who lives.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from xml.etree import ElementTree as xml

from harness.diagnosis.host_config.manager_settings import FALSE, MAPPED, Setting, seconds_of
from harness.diagnosis.host_config.pacemaker_cib import options as options_of
from harness.diagnosis.host_config.pacemaker_cib import pairs_of, root_of


def of_pacemaker(configuration: str) -> tuple[Setting, ...]:
    """Nothing from what is no CIB, or where nothing fences."""
    root = root_of(configuration)
    if root is None or options_of(root).get("stonith-enabled", "").lower() in FALSE:
        return ()
    devices = {
        device.get("id", ""): pairs_of(device, "instance_attributes")
        for device in root.iterfind("configuration/resources//primitive[@class='stonith']")
        if not device.get("template")
    }
    return (*_levels_of_others(root, devices), *_equal_delays(root, devices))


def _nodes_of(parameters: Mapping[str, str]) -> set[str] | None:
    """The nodes that a device is told to fence, in small letters; None where it finds that out by itself."""
    if parameters.get("pcmk_host_check", "static-list") != "static-list":
        return None
    listed = set(parameters.get("pcmk_host_list", "").replace(",", " ").replace(";", " ").split())
    mapped = {name for name, _ in MAPPED.findall(parameters.get("pcmk_host_map", ""))}
    return {name.lower() for name in listed | mapped} or None


def _levels_of_others(root: xml.Element, devices: Mapping[str, Mapping[str, str]]) -> Iterator[Setting]:
    """A level of which a device is told other nodes; a level fences only if each of its devices does."""
    levels: dict[str, list[tuple[str, list[str]]]] = {}
    for level in root.iterfind("configuration/fencing-topology/fencing-level"):
        names = [name.strip() for name in level.get("devices", "").split(",") if name.strip()]
        if level.get("target") and names and all(name in devices for name in names):
            levels.setdefault(level.get("target", ""), []).append((level.get("id", ""), names))
    for target, those in levels.items():
        wrong = {id: [n for n in names if (of := _nodes_of(devices[n])) is not None and target.lower() not in of] for id, names in those}
        if not all(wrong.values()):
            continue  # another level can
        id, names = next(iter(wrong.items()))
        has = " ".join(sorted(_nodes_of(devices[names[0]]) or ()))
        yield Setting(
            f"the fencing level {id} for {target} asks {names[0]}, which is told to fence {has} only: {target} could not be fenced, and "
            "nothing would be recovered from it",
            f"the configuration: fencing-level {id}, target {target}, devices {', '.join(names)}; {names[0]}: nodes {has}",
            f"give the level {id} a device that fences {target}, or give {names[0]} that node (pcmk_host_list, pcmk_host_map); "
            "then look at "
            f"`stonith_admin --list={target}`",
            node=target,
        )


def _equal_delays(root: xml.Element, devices: Mapping[str, Mapping[str, str]]) -> Iterator[Setting]:
    """A delay that both nodes have alike makes neither faster; none at all is what many have, and not told."""
    if seconds_of(options_of(root).get("priority-fencing-delay", "0")):
        return
    nodes = [node.get("uname", "") for node in root.iterfind("configuration/nodes/node")]
    if len(nodes) != 2 or any(seconds_of(p.get("pcmk_delay_max", "0")) or p.get("delay") for p in devices.values()):
        return
    delays: dict[str, tuple[float, str]] = {}
    for node in nodes:
        for tag, parameters in devices.items():
            of, text = _nodes_of(parameters), parameters.get("pcmk_delay_base", "")
            if of is not None and node.lower() not in of:
                continue
            own = next((value for name, value in MAPPED.findall(text) if name.lower() == node.lower()), text)
            seconds = seconds_of(own)
            if node in delays or seconds is None:
                return  # several devices for a node, or one without a delay
            delays[node] = seconds, tag
    if len(delays) == 2 and len({seconds for seconds, _ in delays.values()}) == 1 and all(seconds for seconds, _ in delays.values()):
        (seconds, _), tags = delays[nodes[0]], dict.fromkeys(tag for _, tag in delays.values())
        yield Setting(
            f"both nodes are fenced after the same {seconds:g} s (pcmk_delay_base of {', '.join(tags)}): where they lose each "
            "other and both "
            "live, each fences the other, and nothing is left",
            f"the configuration: {', '.join(tags)}, pcmk_delay_base",
            "give one of the nodes a delay and the other none (`pcmk_delay_base`, of one device as a map: node1:15s;node2:0), or set "
            "priority-fencing-delay and a priority for the services",
            mild=True,
        )

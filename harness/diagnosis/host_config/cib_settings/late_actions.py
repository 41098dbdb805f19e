"""What Pacemaker is told to begin late, or to wait for long: fencing (pcmk_delay_base, priority-fencing-delay), starts and monitors
(start-delay), a monitor that may take an hour, a stop that may take no time (Pacemaker Explained: fencing, operations). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from xml.etree import ElementTree as xml

from harness.diagnosis.host_config.lifekeeper_settings import RARE_CHECKS_S
from harness.diagnosis.host_config.manager_settings import FALSE, MAPPED, Setting, seconds_of
from harness.diagnosis.host_config.pacemaker_cib import options as options_of
from harness.diagnosis.host_config.pacemaker_cib import root_of

# A tie-break between two nodes that fence each other takes up to half a minute; nobody means minutes.
LONG_FENCE_DELAY_S = 120.0
LONG_START_DELAY_S = 60.0  # guides for SAP have as much
MIN_STOP_S = 1.0
DELAYS = ("pcmk_delay_base", "pcmk_delay_max")


def of_pacemaker(configuration: str) -> tuple[Setting, ...]:
    """Nothing from what is no CIB."""
    root = root_of(configuration)
    return () if root is None else (*_fencing(root), *_operations(root))


def _fencing(root: xml.Element) -> Iterator[Setting]:
    options = options_of(root)
    if options.get("stonith-enabled", "").lower() in FALSE:
        return
    after = "what a lost node had in service is taken over so much later"
    delay = seconds_of(options.get("priority-fencing-delay", ""))
    if delay is not None and delay >= LONG_FENCE_DELAY_S:
        yield Setting(
            f"priority-fencing-delay is {delay:g} s: the node that has the services is fenced so much later when the nodes lose each "
            f"other, and {after}",
            f"the cluster's properties: priority-fencing-delay={options['priority-fencing-delay']}",
            "set it to twice the longest pcmk_delay, 15 to 30 s or so",
        )
    for device in root.iterfind("configuration/resources//primitive[@class='stonith']"):
        parameters = {v.get("name", ""): v.get("value", "") for v in device.iterfind("instance_attributes/nvpair")}
        tag = device.get("id", "")
        for name in DELAYS:
            longest = _longest(parameters.get(name, ""))
            if longest is None or longest < LONG_FENCE_DELAY_S:
                continue
            words = "may wait up to" if name == "pcmk_delay_max" else "waits"
            yield Setting(
                f"fencing by {tag} {words} {longest:g} s before it begins ({name}): {after}",
                f"the configuration: {tag}, {name}={parameters[name]}",
                f"give {name} of {tag} 15 to 30 s, which is enough for one of two nodes to be faster",
            )


def _longest(text: str) -> float | None:
    """Seconds; of a map by nodes (`node1:15;node2:0s`) the longest."""
    if (plain := seconds_of(text)) is not None:
        return plain
    return max((each for _, value in MAPPED.findall(text) if (each := seconds_of(value)) is not None), default=None)


def _operations(root: xml.Element) -> Iterator[Setting]:
    fence_devices = {p for p in root.iterfind("configuration/resources//primitive[@class='stonith']")}
    cloned = {
        p for kind in ("clone", "master", "bundle") for e in root.iterfind(f"configuration/resources//{kind}") for p in e.iter("primitive")
    }
    for primitive in root.iterfind("configuration/resources//primitive"):
        for operation in primitive.iterfind("operations/op"):
            if operation.get("enabled", "true").lower() in FALSE:
                continue
            pairs = {v.get("name", ""): v.get("value", "") for v in operation.iterfind("meta_attributes/nvpair")}
            values = {name: operation.get(name) or pairs.get(name, "") for name in ("start-delay", "timeout")}
            yield from _operation(primitive.get("id", ""), operation, values, fences=primitive in fence_devices, cloned=primitive in cloned)


def _operation(tag: str, operation: xml.Element, values: Mapping[str, str], *, fences: bool, cloned: bool) -> Iterator[Setting]:
    name = operation.get("name", "")
    delay, timeout = (seconds_of(values[what]) for what in ("start-delay", "timeout"))
    where = f"the configuration: {tag}, operation {name}"
    if delay is not None and delay > LONG_START_DELAY_S and name in ("start", "promote", "monitor") and not fences:
        says = (
            f"the monitor of {tag} begins {delay:g} s after its start (start-delay): until then nobody looks whether it runs"
            if name == "monitor"
            else f"{tag} begins its {name} {delay:g} s late (start-delay): so much longer is every failover"
        )
        do = f"take start-delay away from the {name} of {tag}; an agent's start ends when what it starts is ready"
        yield Setting(says, f"{where}, start-delay {values['start-delay']}", do, tag, cloned=cloned)
    if timeout is not None and timeout >= RARE_CHECKS_S and name == "monitor":
        yield Setting(
            f"the monitor of {tag} may take {timeout:g} s: one that hangs, as on a disk that does not answer, goes unnoticed for "
            f"{timeout / 3600:g} hours",
            f"{where}, timeout {values['timeout']}",
            f"give the monitor of {tag} a timeout of a minute or so, well above what it takes",
            tag,
            cloned=cloned,
            mild=True,
        )
    if timeout is not None and 0 < timeout < MIN_STOP_S and name == "stop" and not fences:
        yield Setting(
            f"{tag} may take {timeout:g} s for its stop: it is cut off and counts as failed, for which its node is fenced, or the resource "
            "is left where it is",
            f"{where}, timeout {values['timeout']}",
            f"give the stop of {tag} a timeout well above what it takes, a minute for instance",
            tag,
            cloned=cloned,
        )

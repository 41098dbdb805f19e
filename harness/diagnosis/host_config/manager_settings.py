"""Settings of the cluster manager that let a failover happen in another way than people expect, or not at all. Pure.

They are what an administrator may have meant, so none is certain by itself; what each does is in the manager's own documentation
(Pacemaker Explained: cluster options, resource meta-attributes, fencing).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from xml.etree import ElementTree as xml

from harness.diagnosis.host_config.pacemaker_cib import options as options_of
from harness.diagnosis.host_config.pacemaker_cib import pairs_of, root_of

TRUE, FALSE = ("true", "yes", "on", "1", "y"), ("false", "no", "off", "0", "n")
FENCES_NOTHING = ("metadata", "meta-data", "monitor", "list", "status", "validate-all")  # actions of a fence agent that cut nobody off
AZURE_FENCE_AGENT = "fence_azure_arm"
# Devices that wait for no boot: they take a disk away, leave a message, or hear that a node dumps its memory. SBD's formula gives 12 s.
WITHOUT_A_BOOT = ("external/sbd", "fence_sbd", "fence_watchdog", "fence_scsi", "fence_mpath", "fence_kdump", "fence_heuristics_ping")
STATELESS = ("MailTo", "ClusterMon")  # agents of what may well be twice
FENCE_S, AZURE_FENCE_S = 20.0, 120.0  # what fencing may well take; Azure's API switches off, waits, and switches on
WITHOUT_FENCING = ("nothing", "quorum")  # of the meta-attribute `requires`
TIME = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|msec|us|usec|s|sec|m|min|h|hr)?\s*", re.IGNORECASE)
SECONDS = {"ms": 0.001, "msec": 0.001, "us": 1e-6, "usec": 1e-6, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "hr": 3600.0}
ISO_TIME = re.compile(r"P(?:(\d{1,6})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,9})S)?)?")
NEARLY = 0.8  # of the time that a monitor may take
OPERATION_TIMEOUT_S = 20.0  # Pacemaker's own, where nothing is set
NUMBER = re.compile(r"[0-9]{1,12}")
MAPPED = re.compile(r"([\w.-]+)[:=]([^;\s]+)")  # an entry of pcmk_host_map
HARD_ERRORS = {"2": "wrong arguments", "3": "not implemented", "4": "no permission", "5": "not installed", "6": "not configured"}


@dataclass(frozen=True)
class Setting:
    """What it does, where it is (`seen`), and what would be right. `tag`: the resource that has it, empty for the whole cluster."""

    says: str
    seen: str
    do: str
    tag: str = ""
    cloned: bool = False  # the resource is within a clone, which may be another application's
    usual: bool = False  # what many administrators mean
    mild: bool = False  # no fault by itself, whoever has it
    node: str = ""  # the node that it is about, where it is about one


def of_pacemaker(configuration: str) -> tuple[Setting, ...]:
    """From `cibadmin -Q`; nothing from what is not that."""
    root = root_of(configuration)
    return (
        ()
        if root is None
        else (
            *_options(root),
            *_resources(root),
            *_fence_devices(root),
            *_swapped_maps(root),
            *_operations(root),
            *_ignored_stops(root),
            *_hard_errors(root),
            *_preferences(root),
        )
    )


def _options(root: xml.Element) -> Iterator[Setting]:
    where = "the cluster's properties"
    options = options_of(root)
    if options.get("shutdown-lock", "").lower() in TRUE:
        until = options.get("shutdown-lock-limit", "0")
        ends = f"for {until}" if re.search("[1-9]", until) else "until it is back"
        yield Setting(
            f"shutdown-lock is on: when a node is shut down in order, what it has in service stays locked to it {ends}, and the "
            "other node takes nothing over",
            f"{where}: shutdown-lock={options['shutdown-lock']}",
            "switch shutdown-lock off, unless an orderly reboot is to be an outage",
        )
    if options.get("startup-fencing", "").lower() in FALSE and options.get("stonith-enabled", "").lower() not in FALSE:
        yield Setting(
            "startup-fencing is off: a node that starts alone takes everything in service without fencing the other, which it has not seen "
            "and which may have it in service, too",
            f"{where}: startup-fencing={options['startup-fencing']}",
            "switch startup-fencing on (its default)",
        )

    if options.get("no-quorum-policy", "").lower() == "ignore" and options.get("stonith-enabled", "").lower() not in FALSE:
        yield Setting(
            "no-quorum-policy is ignore, as old guides for two nodes have it: a node that starts alone fences the other and takes "
            "everything in service, whatever wait_for_all and the votes of a quorum device say",
            f"{where}: no-quorum-policy={options['no-quorum-policy']}",
            "take no-quorum-policy away (its default is stop), where corosync.conf has two_node or the cluster has a quorum device: then "
            "the node that is left has quorum without it (`corosync-quorumtool -s`)",
            mild=True,
        )
    for name in ("stonith-action", "fencing-action"):
        if options.get(name, "").lower() in ("off", "poweroff"):
            yield Setting(
                f"{name} is {options[name]}: a node that is fenced stays off until somebody starts it, and until then there is nobody to "
                "fail over to",
                f"{where}: {name}={options[name]}",
                f"set {name} to reboot (its default), unless somebody is meant to look at the node first",
                mild=True,
            )


def _resources(root: xml.Element) -> Iterator[Setting]:
    fences = options_of(root).get("stonith-enabled", "").lower() not in FALSE
    cloned = _cloned(root)
    for primitive, meta in _primitives(root):
        tag, of = primitive.get("id", ""), "the configuration"
        requires = meta.get("requires", "").lower()
        if fences and requires in WITHOUT_FENCING:
            yield Setting(
                f"{tag} has requires={requires}: it starts here before the lost node has been fenced, and both may have it in service",
                f"{of}: {tag}, meta-attribute requires={requires}",
                f"take requires={requires} away from {tag} (its default is fencing)",
                tag,
                cloned=tag in cloned,
            )
        if meta.get("critical", "").lower() in FALSE:
            yield Setting(
                f"{tag} has critical=false: when it fails for good it is stopped, and nothing moves for its sake",
                f"{of}: {tag}, meta-attribute critical=false",
                f"take critical=false away from {tag}, unless clients can do without it",
                tag,
                cloned=tag in cloned,
                usual=True,
            )


def _cloned(root: xml.Element) -> set[str]:
    return {p.get("id", "") for kind in ("clone", "master", "bundle") for p in root.iterfind(f"configuration/resources//{kind}//primitive")}


def _primitives(root: xml.Element) -> Iterator[tuple[xml.Element, dict[str, str]]]:
    """Every resource that is no fence device, with its meta-attributes: its own, its group's, the defaults."""
    defaults = pairs_of(root.find("configuration/rsc_defaults"), "meta_attributes")
    parents = {child: parent for parent in root.iter() for child in parent}
    for primitive in root.iterfind("configuration/resources//primitive"):
        if primitive.get("class") == "stonith":
            continue
        of_parent = pairs_of(parents.get(primitive), "meta_attributes")
        yield primitive, {**defaults, **of_parent, **pairs_of(primitive, "meta_attributes")}


def _fence_devices(root: xml.Element) -> Iterator[Setting]:
    if options_of(root).get("stonith-enabled", "").lower() in FALSE:  # which is told by itself: nothing is fenced
        return
    for device in root.iterfind("configuration/resources//primitive[@class='stonith']"):
        parameters = pairs_of(device, "instance_attributes")
        tag = device.get("id", "")
        for name in ("pcmk_reboot_action", "pcmk_off_action"):
            if parameters.get(name, "").lower() in FENCES_NOTHING:
                yield Setting(
                    f"the fence device {tag} cuts nobody off: its {name} is {parameters[name]}, which says yes and does nothing to the "
                    "node; "
                    "both nodes could have everything in service",
                    f"the configuration: {tag}, {name}={parameters[name]}",
                    f"take {name} away from {tag}, or give it an action that cuts the node off (off, reboot)",
                )
        yield from _short_fencing(root, device, parameters)


def _short_fencing(root: xml.Element, device: xml.Element, parameters: Mapping[str, str]) -> Iterator[Setting]:
    """A device that may take less time than fencing does: its own limit for the action, else the cluster's."""
    options = options_of(root)
    if device.get("type") in WITHOUT_A_BOOT:
        return
    tag, azure = device.get("id", ""), device.get("type") == AZURE_FENCE_AGENT
    least = AZURE_FENCE_S if azure else FENCE_S
    action = "off" if options.get("stonith-action", "").lower() in ("off", "poweroff") else "reboot"
    name = f"pcmk_{action}_timeout"
    own, text = name in parameters, parameters.get(name) or options.get("stonith-timeout", "")
    limit = seconds_of(text)
    if limit is None or limit >= least:
        return
    needs = "in Azure a node is off and on again after 30 to 120 s" if azure else "a node is hardly ever off and on again as soon as that"
    setting = name if own else "stonith-timeout"
    usual = "900 s, as guides for Azure have it" if azure else "60 s is the default"
    yield Setting(
        f"fencing by {tag} is given up after {limit:g} s ({setting}): {needs}, so that it fails, and nothing is taken over from a lost "
        "node",
        f"the configuration: {f'{tag}, {setting}' if own else setting}={text}",
        f"give {setting} a time well above what fencing takes ({usual}), and try it in a quiet hour",
    )


def _swapped_maps(root: xml.Element) -> Iterator[Setting]:
    """A device that would cut off another node than the one to be fenced: by its map of nodes to the names that it knows, or, of a device
    for one node, by the name that it is given."""
    nodes = {node.get("uname", "").lower() for node in root.iterfind("configuration/nodes/node")}
    if options_of(root).get("stonith-enabled", "").lower() in FALSE:
        return
    for device in root.iterfind("configuration/resources//primitive[@class='stonith']"):
        parameters = pairs_of(device, "instance_attributes")
        tag = device.get("id", "")
        pairs = {name: plugs for name, plugs in MAPPED.findall(parameters.get("pcmk_host_map", ""))}
        listed = parameters.get("pcmk_host_list", "").split()
        plug = next((parameters[name] for name in ("plug", "port", "nodename") if name in parameters), "")
        where = "pcmk_host_map"
        if not pairs and plug and len(listed) == 1:
            pairs, where = {listed[0]: plug}, "the name of the machine"
        plugs_by_node = {name: plugs.lower().split(",") for name, plugs in pairs.items() if name.lower() in nodes}
        for name, plugs in plugs_by_node.items():
            same = [other for other in plugs_by_node if other != name and set(plugs_by_node[other]) & set(plugs)]
            if wrong := [p for p in plugs if p in nodes and p != name.lower()]:
                would = f"cut off {wrong[0]} when {name} is to be fenced"
            elif same and not nodes & set(plugs):
                would = f"cut off one machine, {pairs[name]}, for {name} and for {same[0]}"
            else:
                continue
            yield Setting(
                f"the fence device {tag} would {would} ({where}: {name} is {pairs[name]}): the node that still serves could be cut off, "
                "and the lost one go on",
                f"the configuration: {tag}, {where}: {name} is {pairs[name]}",
                f"give {name} the name that the device knows it by (in Azure the virtual machine's), in {where} of {tag}; what it knows is "
                f"told by `stonith_admin --list-targets={tag}` and the agent's own list; in a quiet hour try it on the standby",
            )


def _operations(root: xml.Element) -> Iterator[Setting]:
    """Starts and stops that took longer, the last time that they succeeded, than they may take; monitors that took nearly as long."""
    usual: float | None = seconds_of(pairs_of(root.find("configuration/op_defaults"), "meta_attributes").get("timeout", ""))
    usual = None if root.find("configuration/op_defaults/meta_attributes/rule") is not None else usual or OPERATION_TIMEOUT_S
    took: dict[tuple[str, str], float] = {}
    for resource in root.iterfind("status//lrm_resource"):
        for past_operation in resource.iterfind("lrm_rsc_op[@rc-code='0']"):
            key, spent = (resource.get("id", ""), past_operation.get("operation", "")), past_operation.get("exec-time", "")
            if NUMBER.fullmatch(spent):
                took[key] = max(took.get(key, 0.0), int(spent) / 1000)
    for primitive, _ in _primitives(root):
        tag = primitive.get("id", "")
        if primitive.get("template") or any(element.get("id-ref") for element in primitive.iter()):
            continue  # what it may take is elsewhere
        for name in ("start", "stop"):
            operation = next((op for op in primitive.iterfind("operations/op") if op.get("name") == name), None)
            timeout = "" if operation is None else operation.get("timeout") or pairs_of(operation, "meta_attributes").get("timeout", "")
            allowed = (seconds_of(timeout) if timeout else usual) or usual
            last = took.get((tag, name))
            if allowed is not None and last is not None and last > allowed:
                yield Setting(
                    f"{tag} may take {allowed:g} s for its {name}, and the last one took {last:g} s: the next one is cut off, "
                    "and counts as failed",
                    f"the configuration: {tag}, operation {name}, timeout {timeout or f'{allowed:g}s'}; the last took {last * 1000:g} ms",
                    f"give the {name} of {tag} a timeout well above {last:g} s",
                    tag,
                )
        yield from _slow_monitors(root, primitive, usual)


def _slow_monitors(root: xml.Element, primitive: xml.Element, usual: float | None) -> Iterator[Setting]:
    """A repeated monitor's time is written down when its result changes only: of all its runs it is one, often that after the start.

    `usual` is None where rules say which operations the defaults are for."""
    tag = primitive.get("id", "")
    past = [op for resource in root.iterfind("status//lrm_resource") if resource.get("id") == tag for op in resource.iter("lrm_rsc_op")]
    for monitor in primitive.iterfind("operations/op[@name='monitor']"):
        every = seconds_of(monitor.get("interval", ""))
        timeout = monitor.get("timeout") or pairs_of(monitor, "meta_attributes").get("timeout", "")
        allowed = (seconds_of(timeout) if timeout else usual) or usual
        took = [
            int(op.get("exec-time", "")) / 1000
            for op in past
            if op.get("operation") == "monitor" and op.get("rc-code") in ("0", "8") and NUMBER.fullmatch(op.get("exec-time", ""))
            if every and op.get("interval") == f"{1000 * every:.0f}"
        ]
        if allowed is not None and took and max(took) >= NEARLY * allowed:
            yield Setting(
                f"{tag} may take {allowed:g} s for its monitor, and one that succeeded took {max(took):g} s: one that is a little slower, "
                "on a busy day, counts as a failure",
                f"the configuration: {tag}, operation monitor, timeout {timeout or f'{allowed:g}s'}; one took {max(took) * 1000:g} ms",
                f"give the monitor of {tag} a timeout well above {max(took):g} s, or see why it takes so long",
                tag,
                mild=True,
            )


def _ignored_stops(root: xml.Element) -> Iterator[Setting]:
    """What is taken for stopped though its stop failed is started elsewhere while it still runs."""
    usual, cloned = pairs_of(root.find("configuration/op_defaults"), "meta_attributes").get("on-fail", ""), _cloned(root)
    for primitive, _ in _primitives(root):
        tag = primitive.get("id", "")
        if primitive.get("template") or any(element.get("id-ref") for element in primitive.iter()):
            continue  # what is done then is elsewhere
        stop = next((op for op in primitive.iterfind("operations/op") if op.get("name") == "stop"), None)
        on_fail = "" if stop is None else stop.get("on-fail") or pairs_of(stop, "meta_attributes").get("on-fail", "")
        if (on_fail or usual).lower() == "ignore":
            yield Setting(
                f"a failed stop of {tag} is ignored (on-fail=ignore): it would be started on the other node while it still runs here, and "
                "both would have it at once",
                f"the configuration: {tag}, operation stop, on-fail={on_fail or usual}" + ("" if on_fail else " (op_defaults)"),
                f"take on-fail=ignore away from the stop of {tag} (its default is to fence the node)",
                tag,
                cloned=tag in cloned,
                mild=primitive.get("type") in STATELESS,
            )


def _hard_errors(root: xml.Element) -> Iterator[Setting]:
    """What an agent said on a node, for which Pacemaker starts a resource there no more until it is told to look again."""
    cloned = _cloned(root)
    for node in root.iterfind("status/node_state"):
        for resource in node.iterfind(".//lrm_resource"):
            newest = max(resource.iterfind("lrm_rsc_op"), key=lambda op: int(_digits(op.get("call-id", ""))), default=None)
            error = HARD_ERRORS.get(newest.get("rc-code", "")) if newest is not None else None
            if newest is None or error is None:
                continue
            tag, where, reason = resource.get("id", ""), node.get("uname", "a node"), newest.get("exit-reason", "")
            place = "anywhere" if error == "not configured" else f"on {where}"
            yield Setting(
                f"{tag} may not run {place}: its agent's {newest.get('operation', 'check')} on {where} ended with “{error}”"
                + (f": {reason}" if reason else ", and did not say of what"),
                f"the status of {where}: {tag}, {newest.get('operation')}, rc-code={newest.get('rc-code')}",
                f"correct the resource's parameters, then `crm_resource --refresh -r {tag}`"
                if error == "not configured"
                else f"install or configure there what the agent lacks, then `crm_resource --refresh -r {tag} -N {where}`",
                tag,
                cloned=tag.partition(":")[0] in cloned,
            )


def _preferences(root: xml.Element) -> Iterator[Setting]:
    """What has everything move back by itself, once a node that was lost is there again. A constraint with a rule may end, or mean another
    time or place; one that is as strong as what keeps resources where they are is not looked into."""
    for rule in root.iterfind("configuration/constraints/rsc_location"):
        tag, node, id = (rule.get(name, "") for name in ("rsc", "node", "id"))
        by_hand = id.startswith("cli-prefer-")
        if by_hand and not node:  # as `crm_resource --move` writes it: a rule that names the node
            expressions, dates = list(rule.iter("expression")), list(rule.iter("date_expression"))
            named = [e.get("value", "") for e in expressions if (e.get("attribute"), e.get("operation")) == ("#uname", "eq")]
            node = named[0] if len(named) == 1 and len(expressions) == 1 and not dates else ""
        elif rule.find("rule") is not None:
            continue
        scores = {rule.get("score", ""), *(one.get("score", "") for one in rule.iter("rule"))}
        if not tag or not node or not scores & {"INFINITY", "+INFINITY"} or _stickiness(root, tag) & {"INFINITY", "1000000"}:
            continue
        then = f"after a failover from {node}, {tag} moves back as soon as {node} is there again, by itself, which is a second outage"
        if by_hand:
            yield Setting(
                f"the constraint {id}, which a move by hand left behind, prefers {node} for {tag} without limit: {then}",
                f"the configuration: {id}, {tag} on {node}, score INFINITY",
                f"take it away: `crm_resource --clear -r {tag}`",
                tag,
                node=node,
            )
        else:
            yield Setting(
                f"the constraint {id} prefers {node} for {tag} without limit: {then}",
                f"the configuration: {id}, {tag} on {node}, score INFINITY",
                f"give {id} a score below the resource-stickiness, unless everything is meant to move back at once",
                tag,
                mild=True,
                node=node,
            )


def _stickiness(root: xml.Element, tag: str) -> set[str]:
    """Every value of resource-stickiness that may count for a resource or what is in it."""
    blocks = [e for e in root.iterfind("configuration/resources//*") if e.get("id") == tag]
    pairs = [pair for e in (*blocks, *root.iterfind("configuration/rsc_defaults")) for pair in e.iter("nvpair")]
    return {pair.get("value", "").lstrip("+") for pair in pairs if pair.get("name") == "resource-stickiness"}


def _digits(text: str) -> str:
    return text if NUMBER.fullmatch(text) else "0"


def seconds_of(text: str) -> float | None:
    """A time as Pacemaker's configuration has it: `20`, `20s`, `5min`, or ISO 8601's `PT5M`; None for what is none, or hangs on months."""
    if match := TIME.fullmatch(text):
        return float(match[1]) * SECONDS[(match[2] or "s").lower()]
    if (iso := ISO_TIME.fullmatch(text.strip())) and any(iso.groups()):
        days, hours, minutes, seconds = (int(part or 0) for part in iso.groups())
        return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
    return None

"""Why Pacemaker's scheduler would not have something on a node, where it would not: what its own answer does not say. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from xml.etree import ElementTree as xml

from harness.managers.parse.pacemaker_parse import Reading, document
from harness.managers.switchover_readiness import Case, NodeOutput

FALSE = ("false", "no", "off", "n", "0")
BY_CAPACITY = ("utilization", "minimal", "balanced")


def by_placement(to: str, cib: NodeOutput, reading: Reading) -> Case:
    """The configuration (`cibadmin -Q`): an opt-in cluster, capacities, tickets, and what must be apart."""
    root = document(cib.text or "")
    return (
        Case()
        if root is None
        else Case(
            against=[
                *_opt_in(to, root, reading),
                *_exclusive(to, root, reading),
                *_capacity(to, root, reading),
                *_tickets(root, reading),
                *_apart(root, reading),
                *_order_reasons(root, reading),
            ]
        )
    )


def _opt_in(to: str, root: xml.Element, reading: Reading) -> Iterator[str]:
    """Nothing may run anywhere but where a constraint allows it. One with rules may allow it."""
    if _option(root, "symmetric-cluster").lower() not in FALSE:
        return
    rules = [e for e in root.iter("rsc_location") if e.get("node") in (None, to) and not e.get("score", "").startswith("-")]
    allowed = {e.get("rsc", "") for e in rules}
    for group in root.iter("group"):
        if group.get("id") in allowed:
            allowed |= {e.get("id", "") for e in group.iter("primitive")}
    if not_allowed := [tag for tag in reading.resources if tag not in allowed]:
        yield f"the cluster is opt-in (symmetric-cluster=false), and no constraint allows {to} for {', '.join(not_allowed)}"


def _exclusive(to: str, root: xml.Element, reading: Reading) -> Iterator[str]:
    """A resource may run only where a constraint names a node with resource-discovery=exclusive, once one does. One with rules, or for all
    resources of a pattern, may name any."""
    ours, rules = (
        {*reading.resources, *reading.groups},
        [e for e in root.iter("rsc_location") if e.get("resource-discovery") == "exclusive"],
    )
    if any(e.get("node") is None or e.get("rsc") is None for e in rules):
        return
    for tag in sorted(ours):
        its = [e for e in rules if e.get("rsc") == tag]
        if its and all(e.get("node") != to for e in its):
            names = ", ".join(e.get("id", "") for e in its)
            where = ", ".join(e.get("node", "") for e in its)
            yield f"the constraint {names} has resource-discovery=exclusive: {tag} may run nowhere but on {where}"


def _capacity(to: str, root: xml.Element, reading: Reading) -> Iterator[str]:
    strategy = _option(root, "placement-strategy")
    if strategy not in BY_CAPACITY:
        return
    room = {
        pair.get("name", ""): _number(pair.get("value"))
        for node in root.iterfind("configuration/nodes/node")
        if node.get("uname") == to
        for pair in node.iterfind("utilization/nvpair")
    }
    needed: defaultdict[str, int] = defaultdict(int)
    for primitive in root.iter("primitive"):
        for pair in primitive.iterfind("utilization/nvpair") if primitive.get("id") in reading.resources else ():
            needed[pair.get("name", "")] += _number(pair.get("value"))
    for name, number in needed.items():
        if number > room.get(name, 0):
            yield f"the resources need {number} of {name}, and {to} has a capacity of {room.get(name, 0)} (placement-strategy={strategy})"


def _tickets(root: xml.Element, reading: Reading) -> Iterator[str]:
    granted = {e.get("id") for e in root.iter("ticket_state") if e.get("granted") == "true" and e.get("standby") != "true"}
    ours = {*reading.resources, *reading.groups}
    for rule in root.iter("rsc_ticket"):
        if rule.get("rsc") in ours and rule.get("ticket") not in granted:
            yield f"{rule.get('rsc')} needs the ticket {rule.get('ticket')} ({rule.get('id')}), which is not granted here"


def _apart(root: xml.Element, reading: Reading) -> Iterator[str]:
    ours = {*reading.resources, *reading.groups}
    for rule in root.iter("rsc_colocation"):
        ids = [e.get("id", "") for e in rule.iter("resource_ref")] or [rule.get("rsc", ""), rule.get("with-rsc", "")]
        if rule.get("score", "").startswith("-") and len(ours & set(ids)) > 1:
            yield f"the colocation {rule.get('id')} keeps {' and '.join(ids)} apart (score {rule.get('score')})"


def _order_reasons(root: xml.Element, reading: Reading) -> Iterator[str]:
    """What must start after something that is told to stay stopped starts nowhere; where it runs already it may go on."""
    stopped = {
        e.get("id", "")
        for kind in ("primitive", "group", "clone", "master")
        for e in root.iter(kind)
        for pair in e.iterfind("meta_attributes/nvpair")
        if pair.get("name") == "target-role" and pair.get("value", "").lower() == "stopped"
    }
    ours = {*reading.resources, *reading.groups}
    for rule in root.iter("rsc_order"):
        ids = [e.get("id", "") for e in rule.iter("resource_ref")] or [rule.get("first", ""), rule.get("then", "")]
        of_starts = rule.get("first-action", "start") == "start" and rule.get("then-action", "start") != "stop"
        optional = not of_starts or rule.get("kind", "Mandatory") != "Mandatory" or rule.get("score") in ("0", "+0")
        if first := [tag for tag in ids[:-1] if tag in stopped] if not optional and ids[-1] in ours else []:
            yield f"{ids[-1]} starts only after {', '.join(first)} (the order {rule.get('id')}), and that is told to stay stopped"


def _option(root: xml.Element, name: str) -> str:
    values = [e.get("value", "") for e in root.iterfind(".//crm_config//nvpair") if e.get("name") == name]
    return values[-1] if values else ""


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 16 else 0

"""Which node attribute a location constraint's rule holds against a node, and which resource sets it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree as xml

from harness.managers.parse.pacemaker_parse import document
from harness.managers.switchover_readiness import NodeOutput

# Agents of Pacemaker's own that set a node attribute, with the parameter that names it, its default, and the one that says what of.
SETTERS = {
    "ping": ("name", "pingd", "host_list", "by pinging"),
    "pingd": ("name", "pingd", "host_list", "by pinging"),
    "ethmonitor": ("name", "", "interface", "by the state of"),
    "attribute": ("name", "", "", ""),
}
WORDS = {"lt": "below", "lte": "not above", "gt": "above", "gte": "not below", "eq": "equal to", "ne": "other than"}


def held_against(to: str, cib: NodeOutput) -> dict[str, str]:
    """By the constraint's id, and by its rule's, which crm_mon names: in words, which attributes of the node make the rule ban it
    (`cibadmin -Q`, with the status)."""
    root = document(cib.text or "")
    if root is None:
        return {}
    values = attributes_of(to, root)
    banned: dict[str, str] = {}
    for constraint in root.iter("rsc_location"):
        for rule in constraint.findall("rule"):
            if rule.get("score", "").startswith("-") and _holds(rule, to, values) is not False:
                words = list(dict.fromkeys(_in_words(e, to, values) for e in _holding(rule, to, values)))
                setters = dict.fromkeys(w for e in _holding(rule, to, values) if (w := _setter(root, e.get("attribute", ""))))
                if words:
                    reason = "; ".join([" and ".join(words), *setters])
                    banned |= {constraint.get("id", ""): reason, rule.get("id", ""): reason}
    return banned


def attributes_of(to: str, root: xml.Element) -> dict[str, str]:
    """A node's attributes, those that last and those until its next start; of a name that has both the latter."""
    places = (
        *(f"configuration/nodes/node[@{key}='{to}']/instance_attributes/nvpair" for key in ("id", "uname")),
        f"status/node_state[@uname='{to}']/transient_attributes//nvpair",
    )
    return {pair.get("name", ""): pair.get("value", "") for place in places for pair in root.iterfind(place)}


def _holds(part: xml.Element, to: str, values: dict[str, str]) -> bool | None:
    """Whether a rule or an expression of it holds; None where that is not known here (dates, roles, kinds of resources)."""
    if part.tag == "rule":
        answers = [_holds(child, to, values) for child in part if child.tag.endswith("expression") or child.tag == "rule"]
        if part.get("boolean-op", "and") == "or":
            return True if True in answers else None if None in answers else False
        return False if False in answers else None if None in answers else True
    attribute, operation = part.get("attribute", ""), part.get("operation", "")
    if part.tag != "expression" or (_is_built_in(attribute) and attribute != "#uname") or part.get("value-source", "literal") != "literal":
        return None
    value, wanted = to if attribute == "#uname" else values.get(attribute), part.get("value")
    if operation in ("defined", "not_defined"):
        return (value is not None) is (operation == "defined")
    if value is None or wanted is None:
        return operation == "ne" and value is not wanted
    return _compared(value, wanted, operation, part.get("type", ""))


def _is_built_in(attribute: str) -> bool:
    """Set by Pacemaker itself (#uname, #kind); what a health agent sets (#health-…) is an attribute as any, to a rule."""
    return attribute.startswith("#") and not attribute.startswith("#health")


def _compared(value: str, wanted: str, operation: str, kind: str) -> bool | None:
    """As numbers where they are both (which is what Pacemaker takes for the default of an order, unless it is told otherwise)."""
    ours: str | float
    theirs: str | float
    try:
        if kind == "string":
            raise ValueError
        ours, theirs = float(value), float(wanted)
    except ValueError:
        ours, theirs = value.lower(), wanted.lower()
    less, more = ours < theirs, ours > theirs  # type: ignore[operator]  # both are of one type
    return {"lt": less, "gt": more, "lte": not more, "gte": not less, "eq": not less and not more, "ne": less or more}.get(operation)


def _holding(rule: xml.Element, to: str, values: dict[str, str]) -> Iterator[xml.Element]:
    """The expressions on attributes that hold, within rules that may."""
    for child in rule:
        if child.tag == "rule" and _holds(child, to, values) is not False:
            yield from _holding(child, to, values)
        elif child.tag == "expression" and not _is_built_in(child.get("attribute", "#")) and _holds(child, to, values):
            yield child


def _in_words(expression: xml.Element, to: str, values: dict[str, str]) -> str:
    name, operation = expression.get("attribute", ""), expression.get("operation", "")
    if name not in values:
        return f"the node attribute {name} is not set on {to}"
    limit = f", which is {WORDS[operation]} {expression.get('value')}" if operation in WORDS and operation != "eq" else ""
    return f"the node attribute {name} is {values[name]} on {to}{limit}"


def _setter(root: xml.Element, attribute: str) -> str:
    """The resource that sets it, where it is of an agent that is known to."""
    for primitive in root.iter("primitive"):
        kind = primitive.get("type", "")
        parameter, default, of, how = SETTERS.get(kind, ("", "", "", ""))
        parameters = {v.get("name", ""): v.get("value", "") for v in primitive.iterfind("instance_attributes/nvpair")}
        own_default = f"ethmonitor-{parameters.get('interface', '')}" if kind == "ethmonitor" else default
        if parameter and parameters.get(parameter, own_default) == attribute:
            what = f" {how} {parameters[of]}" if parameters.get(of) else ""
            return f"{primitive.get('id')} ({kind}) sets it{what}"
    return ""

"""Location constraints of Pacemaker's that keep something off a node from a date on, or at certain hours: what holds now its scheduler
tells (Pacemaker Explained, "Rules"). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timezone
from xml.etree import ElementTree as xml

from harness.diagnosis.host_config.manager_settings import Setting
from harness.diagnosis.host_config.pacemaker_cib import root_of

SOON_S = 7 * 86400.0
NEVER = ("-INFINITY", "-1000000")


def of_pacemaker(configuration: str, clock: float | None = None, zone: timezone = UTC) -> tuple[Setting, ...]:
    """`clock` is the host's, in seconds since 1970, and `zone` its own, which counts for dates without one; nothing without a clock."""
    root = root_of(configuration)
    return () if root is None or clock is None else tuple(_bans(root, clock, zone))


def _bans(root: xml.Element, clock: float, zone: timezone) -> Iterator[Setting]:
    nodes = [node.get("uname", "") for node in root.iterfind("configuration/nodes/node")]
    devices = {device.get("id", "") for device in root.iterfind("configuration/resources//primitive[@class='stonith']")}
    for constraint in root.iterfind("configuration/constraints/rsc_location"):
        tag, id = constraint.get("rsc", ""), constraint.get("id", "")
        for rule in constraint.findall("rule") if tag and tag not in devices else ():
            dates = rule.findall("date_expression")
            if rule.get("score") not in NEVER or rule.get("boolean-op", "and") != "and" or rule.get("role") or len(dates) != 1:
                continue
            banned = _banned(rule, nodes)
            told = _when(dates[0], clock, zone)
            if not banned or told is None:
                continue
            words, soon = told
            where = banned[0] if len(banned) == 1 else "every node" if len(banned) == len(nodes) else " and ".join(banned)
            yield Setting(
                f"the constraint {id} keeps {tag} off {where} {words}, by a rule with a date: then "
                + (f"{tag} is stopped" if where == "every node" else f"a failover to {where} would not work, and what is there leaves"),
                f"the configuration: {id}, {tag}, score {rule.get('score')}, {_attributes(dates[0])}",
                f"see who wants that, and take {id} away where nobody does (`pcs constraint`, `crm configure show`)",
                tag,
                mild=not soon,
                node=banned[0] if len(banned) == 1 else "",
            )


def _banned(rule: xml.Element, nodes: list[str]) -> list[str]:
    """The nodes that the rule is about, by their names; none where it asks for anything else."""
    known = ("expression", "date_expression")
    expressions = rule.findall("expression")
    plain = all(e.get("attribute") == "#uname" and e.get("operation") in ("eq", "ne") for e in expressions)
    if not plain or any(child.tag not in known for child in rule):
        return []
    return [n for n in nodes if all((e.get("value") == n) is (e.get("operation") == "eq") for e in expressions)]


def _when(date: xml.Element, clock: float, zone: timezone) -> tuple[str, bool] | None:
    """In words, and whether that is soon; None for what holds now, is over, or is not understood."""
    operation, start = date.get("operation", ""), date.get("start", "")
    if operation == "date_spec":
        spec = date.find("date_spec")
        hours = " ".join(f"{name} {value}" for name, value in spec.attrib.items() if name != "id") if spec is not None else ""
        return (f"at certain times ({hours})", False) if hours else None
    begins = _seconds(start, zone) if operation in ("gt", "in_range") else None
    if begins is None or begins <= clock:
        return None
    return f"from {start} on", begins - clock < SOON_S


def _seconds(text: str, zone: timezone) -> float | None:
    try:
        moment = datetime.fromisoformat(text.strip().replace("Z", "+00:00").replace(" +", "+"))
        return moment.replace(tzinfo=moment.tzinfo or zone).timestamp()
    except (ValueError, OverflowError):
        return None


def _attributes(date: xml.Element) -> str:
    """What it says of times, as it is written."""
    pairs = [*date.attrib.items(), *(pair for child in date for pair in child.attrib.items())]
    return " ".join(f"{name}={value}" for name, value in pairs if name != "id")

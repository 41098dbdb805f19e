"""Taking one resource out of service while the rest stays: what Pacemaker would do then, and what must not be managed meanwhile. Pure.

Its own scheduler is asked first (`crm_simulate`, which changes nothing): whatever else it would stop, start or move is kept as it is by
not being managed, nothing more; and where the resource would not be stopped alone even so, nothing is done.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as xml
from xml.sax.saxutils import quoteattr

from harness.managers.parse.pacemaker_parse import document
from harness.managers.switchover_readiness import NodeOutput, last_words

OURS = "lkharness-out"  # begins the id of everything that taking a resource out puts into the CIB
ASK = "crm_simulate -p -S --output-as=xml"  # of the CIB that it is given
READ_ONLY_OPERATIONS = ("monitor", "notify")  # operations that change nothing
USUAL = ("rsc_action", "pseudo_action", "cluster_action")  # kinds of actions; any other is done to a node


@dataclass(frozen=True)
class Alone:
    """How a resource can be taken out alone: `unmanaged` must not be managed meanwhile. `why` says why it cannot be."""

    unmanaged: tuple[str, ...] = ()
    why: str = ""


def alone(tag: str, cib: NodeOutput, simulate: Callable[[str], NodeOutput]) -> Alone:
    """Asks `simulate` about the CIB with `tag` told to stop, until all that would be disturbed with it is found."""
    unmanaged: list[str] = []
    while True:
        configuration, obstacle = _edited_configuration(cib, tag, unmanaged)
        if not configuration:
            return Alone(why=obstacle)
        output = simulate(configuration)
        root = document(output.text or "")
        transition, after = (None, None) if root is None else (root.find("transition"), root.find("revised_cluster_status/resources"))
        if transition is None or after is None:
            return Alone(
                why=f"what Pacemaker would do could not be asked (crm_simulate); it said: {last_words(output.text or '', output.why)}"
            )
        if node_actions := [a for a in transition if a.tag not in USUAL]:
            return Alone(why=f"Pacemaker would act on {node_actions[0].get('node') or 'a node'} then (crm_simulate)")
        disturbed = _disturbances(transition, tag)
        if again := sorted(set(disturbed) & set(unmanaged)):
            return Alone(why=f"Pacemaker would {disturbed[again[0]]} {again[0]} then, managed or not (crm_simulate)")
        if not disturbed:
            break
        unmanaged += sorted(disturbed)
    if any(r.get("id") == tag and r.find("node") is not None for r in after.iter("resource")):
        note = f", as {', '.join(unmanaged)} would have to stop first" if unmanaged else ""
        return Alone(why=f"Pacemaker would not stop {tag} alone{note} (crm_simulate)")
    return Alone(tuple(unmanaged))


def _disturbances(transition: xml.Element, tag: str) -> dict[str, str]:
    """Resource → the first thing that would be done to it."""
    operations: dict[str, str] = {}
    for action in transition.iter("rsc_action"):
        name, operation = action.get("resource", ""), action.get("op", "")
        if operation not in READ_ONLY_OPERATIONS and (name != tag or operation != "stop"):
            operations.setdefault(name, operation)
    return operations


def _edited_configuration(cib: NodeOutput, tag: str, unmanaged: Sequence[str]) -> tuple[str, str]:
    """The configuration as `lines` would make it; or nothing, and why."""
    root = document(cib.text or "")
    if root is None:
        return "", f"Pacemaker's configuration could not be read; it said: {last_words(cib.text or '', cib.why)}"
    copied = {e.get("id") for kind in ("clone", "master", "bundle") for parent in root.iter(kind) for e in parent.iter("primitive")}
    plain = {e.get("id", ""): e for e in root.iter("primitive") if e.get("class") != "stonith" and e.get("id") not in copied}
    for name in (tag, *unmanaged):
        if name not in plain:
            return "", f"{name} is no resource that can be kept as it is while {tag} is out"
        settings = ("target-role", "Stopped") if name == tag else ("is-managed", "false")
        plain[name].insert(0, attributes := xml.Element("meta_attributes", {"id": f"{OURS}-{name}", "score": "1000"}))
        xml.SubElement(attributes, "nvpair", {"id": f"{OURS}-{name}-set", "name": settings[0], "value": settings[1]})
    return xml.tostring(root, encoding="unicode"), ""


def line(tag: str, unmanaged: Iterable[str], for_s: int) -> str:
    """A line of shell that sets it, the resource last; by a rule with a date it means nothing any more after `for_s` seconds."""
    until = f"until=$(date -u -d '+{for_s} seconds' '+%Y-%m-%d %H:%M:%SZ')"
    settings = [*((name, "is-managed", "false") for name in unmanaged), (tag, "target-role", "Stopped")]
    return " && ".join([until, *(_set(number, *each) for number, each in enumerate(settings, 1))])


def _set(number: int, tag: str, name: str, value: str) -> str:
    """An id is ours and a number: a resource's name may be no XML id."""
    id = f"{OURS}-{number}"
    rule = f'<rule id="{id}-until" score="INFINITY"><date_expression id="{id}-until-date" operation="lt" end="UNTIL"/></rule>'
    attributes = f'<meta_attributes id="{id}" score="1000">{rule}<nvpair id="{id}-set" name="{name}" value="{value}"/></meta_attributes>'
    text = shlex.quote(f"<primitive id={quoteattr(tag)}>{attributes}</primitive>").replace("UNTIL", "'\"$until\"'")
    return f"cibadmin --modify --allow-create --xpath {shlex.quote(f'//primitive[@id={quoteattr(tag)}]')} --xml-text {text}"

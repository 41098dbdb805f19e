"""Groups of Pacemaker's whose members need not be on one node (collocated=false), or may start in any order (ordered=false). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree as xml

from harness.diagnosis.host_config.manager_settings import FALSE, Setting
from harness.diagnosis.host_config.pacemaker_cib import root_of


def of_pacemaker(configuration: str) -> tuple[Setting, ...]:
    """Nothing from what is no CIB, and nothing of a group that colocations hold together besides."""
    root = root_of(configuration)
    return () if root is None else tuple(_loose(root))


def _loose(root: xml.Element) -> Iterator[Setting]:
    cloned = {group for kind in ("clone", "master") for group in root.iterfind(f"configuration/resources//{kind}/group")}
    for group in root.iterfind("configuration/resources//group"):
        id, members = group.get("id", ""), [p.get("id", "") for p in group.findall("primitive")]
        meta = {v.get("name", ""): v.get("value", "").lower() for v in group.iterfind("meta_attributes/nvpair")}
        if len(members) < 2:
            continue
        tied = meta.get("collocated", "") not in FALSE or _tied(root, members)
        if not tied:
            yield Setting(
                f"the group {id} has collocated=false: what fails of {', '.join(members)} moves to the other node by itself, away from the "
                "rest",
                f"the configuration: {id}, meta-attribute collocated={meta['collocated']}",
                f"take collocated away from {id} (`crm_resource -r {id} --meta -d collocated`)",
                members[0],
                cloned=group in cloned,
            )
        if meta.get("ordered", "") in FALSE:
            yield Setting(
                f"the group {id} has ordered=false: {', '.join(members)} start at once, whatever one needs of another (a disk, an address)",
                f"the configuration: {id}, meta-attribute ordered={meta['ordered']}",
                f"take ordered away from {id} (`crm_resource -r {id} --meta -d ordered`), unless none of them needs another",
                members[0],
                cloned=group in cloned,
                mild=True,
            )


def _tied(root: xml.Element, members: list[str]) -> bool:
    """Do mandatory colocations have all of them in one place?"""
    part = {member: {member} for member in members}
    for rule in root.iterfind("configuration/constraints/rsc_colocation"):
        if rule.get("score", "INFINITY").lstrip("+") not in ("INFINITY", "1000000"):
            continue
        named = [e.get("id", "") for e in rule.iter("resource_ref")] or [rule.get("rsc", ""), rule.get("with-rsc", "")]
        together = set().union(*(part.get(one, {one}) for one in named))
        part |= dict.fromkeys(together, together)
    return set(members) <= part[members[0]]

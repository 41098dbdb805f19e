"""Does what lies on a file system start after it, and stop before it? By Pacemaker's configuration (`cibadmin -Q`): groups and orders; and
constraints about resources that are not there, which Pacemaker ignores. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from itertools import pairwise
from xml.etree import ElementTree as xml

from harness.diagnosis.host_config.manager_settings import FALSE, Setting
from harness.diagnosis.host_config.pacemaker_cib import root_of
from harness.managers.parse.mount_point_dependencies import lies_on

HOLDERS = ("group", "clone", "master", "bundle")
STARTS = ("start", "promote")


def of_pacemaker(configuration: str) -> tuple[Setting, ...]:
    """Nothing from what is no CIB."""
    root = root_of(configuration)
    resources = None if root is None else root.find("configuration/resources")
    return () if root is None or resources is None else (*_find_unordered(root, resources), *_about_nothing(root, resources))


def after_address(configuration: str, ip_tag: str) -> dict[str, str]:
    """Of each resource (`after the address TAG`) whether the IP resource is started before it, by groups and orders: `yes` or `no`; nothing
    where that cannot be told."""
    root = root_of(configuration)
    resources = None if root is None else root.find("configuration/resources")
    if root is None or resources is None or (after := _resources_after(root, resources)) is None:
        return {}
    tags = [p.get("id", "") for p in resources.iter("primitive")]
    if ip_tag not in tags:
        return {}
    return {f"after the address {tag}": "yes" if _precedes(after, ip_tag, tag) else "no" for tag in tags if tag != ip_tag}


def _find_unordered(root: xml.Element, resources: xml.Element) -> Iterator[Setting]:
    if not (pairs := [*lies_on(resources)]) or (after := _resources_after(root, resources)) is None:
        return
    mandatory = _resources_after(root, resources, without=_optional(root)) or {}
    both_ways = _resources_after(root, resources, without=[*_optional(root), *_of_starts_alone(root)]) or {}
    cloned = {p.get("id", "") for kind in HOLDERS[1:] for holder in resources.iter(kind) for p in holder.iter("primitive")}
    places = {p.get("id", ""): _place(p) for p in resources.iter("primitive")}
    needs: dict[tuple[str, str], list[str]] = defaultdict(list)  # file systems that take turns in one place stand for each other
    for disk, tag in pairs:
        needs[(tag, places[disk])].append(disk)
    for (tag, place), disks in needs.items():
        if any(_precedes(both_ways, disk, tag) for disk in disks):
            continue
        if disk := next((disk for disk in disks if _precedes(after, disk, tag)), ""):
            yield _weak_order(root, tag, disk, place, optional=not _precedes(mandatory, disk, tag), cloned=tag in cloned)
            continue
        disk = disks[0]
        behind = _precedes(after, tag, disk)
        how = f"{disk} is started behind it" if behind else f"no order and no group has {disk} started first"
        yield Setting(
            f"{tag} lies on the file system of {disk} ({place}), and {how}: {tag} may start before its disk is mounted, on an empty folder",
            f"the configuration: {tag} has a file below {place}, where {disk} is mounted; "
            + (f"by its groups and orders {tag} comes before {disk}" if behind else f"nothing orders {disk} before {tag}"),
            f"put {disk} in front of {tag} in one group, or add an order ({disk} first, then {tag})",
            tag,
            cloned=tag in cloned,
        )


def _weak_order(root: xml.Element, tag: str, disk: str, place: str, *, optional: bool, cloned: bool) -> Setting:
    weak = _optional(root) if optional else _of_starts_alone(root)
    ids = ", ".join(id for rule in weak if (id := rule.get("id", "")) and {tag, disk} & set(rule.attrib.values())) or "one of the orders"
    if optional:
        what = f"optional (kind=Optional, or a score of 0): when {disk} alone is recovered, it is unmounted under {tag}, which goes on"
    else:
        what = f"of starts alone (symmetrical=false): at a switchover {disk} may be unmounted while {tag} still runs, which is killed then"
        what += ", or the stop fails and the node is fenced"
    return Setting(
        f"{tag} lies on the file system of {disk} ({place}), and the order between them ({ids}) is {what}",
        f"the configuration: {ids}, {disk} first, then {tag}",
        f"make it a whole order (`pcs constraint order start {disk} then {tag}`), or put {disk} in front of {tag} in one group",
        tag,
        cloned=cloned,
    )


def _optional(root: xml.Element) -> list[xml.Element]:
    orders = root.iterfind("configuration/constraints/rsc_order")
    return [rule for rule in orders if rule.get("kind", "").lower() == "optional" or (not rule.get("kind") and rule.get("score") == "0")]


def _of_starts_alone(root: xml.Element) -> list[xml.Element]:
    return [r for r in root.iterfind("configuration/constraints/rsc_order") if r.get("symmetrical", "true").lower() in FALSE]


def _about_nothing(root: xml.Element, resources: xml.Element) -> Iterator[Setting]:
    """Constraints with a misspelt resource, or with one that was removed. What is left of a ban of one that is gone harms nothing."""
    known = {e.get("id", "") for e in resources.iter() if e.tag in (*HOLDERS, "primitive", "template")}
    known |= {e.get("id", "") for e in root.iterfind("configuration/tags/tag")}
    for rule in root.iterfind("configuration/constraints/*"):
        ends = [value for name in ("rsc", "with-rsc", "first", "then") if (value := rule.get(name, ""))]
        ends += [ref.get("id", "") for ref in rule.iter("resource_ref")]
        lacking = [end for end in dict.fromkeys(ends) if end.partition(":")[0] not in known]
        there = [end for end in ends if end.partition(":")[0] in known]
        if lacking and there:
            yield Setting(
                f"the constraint {rule.get('id', '')} names {', '.join(lacking)}, which is no resource of the cluster: Pacemaker ignores "
                f"it, and nothing ties {', '.join(dict.fromkeys(there))} to that",
                f"the configuration: {rule.tag} {rule.get('id', '')} names {', '.join(lacking)}",
                "correct the name (`pcs constraint --full`, `crm configure show`), or take the constraint away",
                there[0],
                usual=True,
            )


def _place(primitive: xml.Element) -> str:
    pairs = primitive.iterfind("instance_attributes/nvpair")
    return next((pair.get("value", "").rstrip("/") for pair in pairs if pair.get("name") == "directory"), "")


def _resources_after(root: xml.Element, resources: xml.Element, without: Collection[xml.Element] = ()) -> Mapping[str, set[str]] | None:
    """Of each resource those that are started after it, by groups and by the orders but those of `without`; None where an order has its
    resources in another place of the configuration."""
    members = {
        e.get("id", ""): [p.get("id", "") for p in e.iter("primitive")] for e in resources.iter() if e.tag in (*HOLDERS, "primitive")
    }
    for tag in root.iterfind("configuration/tags/tag"):
        members[tag.get("id", "")] = [member for ref in tag.iter("obj_ref") for member in members.get(ref.get("id", ""), ())]
    after: dict[str, set[str]] = defaultdict(set)
    for group in resources.iter("group"):
        ordered_values = [v.get("value", "").lower() for v in group.iterfind("meta_attributes/nvpair") if v.get("name") == "ordered"]
        if not ordered_values or ordered_values[-1] not in FALSE:
            for earlier, later in pairwise(members[group.get("id", "")]):
                after[earlier].add(later)
    for rule in root.iterfind("configuration/constraints/rsc_order"):
        if rule.get("kind", "").lower() == "serialize" or rule in without:
            continue
        if any(element.get("id-ref") for element in rule.iter()):
            return None
        for earlier, later, actions in _steps(rule):
            if earlier not in members or later not in members:
                continue  # which Pacemaker ignores
            for first in members[earlier]:
                after[first].update(members[later])
            if not set(actions) <= set(STARTS):  # what it makes of the starts is not looked into
                for then in members[later]:
                    after[then].update(members[earlier])
    return after


def _steps(rule: xml.Element) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """What comes before what in one order: two ends, or sets, of which each is a chain unless it is not sequential."""
    first = rule.get("first-action", "start")
    sets = [[ref.get("id", "") for ref in resource_set.iter("resource_ref")] for resource_set in rule.iter("resource_set")]
    if not sets:
        yield rule.get("first", ""), rule.get("then", ""), (first, rule.get("then-action", first))
    actions = tuple(resource_set.get("action", "start") for resource_set in rule.iter("resource_set"))
    for resource_set, ids in zip(rule.iter("resource_set"), sets, strict=True):
        if resource_set.get("sequential", "true").lower() not in FALSE:
            yield from ((a, b, actions) for a, b in pairwise(ids))
    for ids, later in pairwise(sets):
        yield from ((a, b, actions) for a in ids for b in later)


def _precedes(after: Mapping[str, set[str]], start: str, target: str) -> bool:
    pending, visited = [start], {start}
    while pending:
        for tag in after.get(pending.pop(), set()) - visited:
            if tag == target:
                return True
            visited.add(tag)
            pending.append(tag)
    return False

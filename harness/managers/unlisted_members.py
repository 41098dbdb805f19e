"""What a cluster has besides what its file names: nodes, and resources that a move of the file's resource does not move. Pure.

Sentences, none when there is nothing. What is not the file's would be moved, or left behind, by what is done to the rest.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import pairwise
from types import MappingProxyType
from xml.etree import ElementTree as xml

from harness.config.cluster_config import Cluster
from harness.managers.parse.lcdstatus_parse import parse, rows_with_depth
from harness.managers.parse.mount_point_dependencies import lies_on
from harness.managers.parse.pacemaker_parse import COLLECTIONS, document
from harness.managers.probe_responder_resources import has_responder_name

BLOCKS = {"primitive", "group"}
MUST = ("INFINITY", "+INFINITY", "1000000")


def of_lifekeeper(printed: str, node: str, resource: str, nodes: Iterable[str]) -> list[str]:
    """From `lcdstatus -q` on `node`: its path table names every peer (LKL-08), its tree what depends on what (LKL-06). `perform_action`
    works on everything above and below a tag (LKL-28), and a child may stand under several roots."""
    known_names = {_short_name(name) for name in nodes}
    peers = sorted({path.peer for path in parse(node, printed).comm_paths if _short_name(path.peer) not in known_names})
    trees = _trees(printed)
    return [*_describe_nodes(peers), *_describe_left_behind(resource, _join_blocks(trees, [])), *_describe_unknown(resource, trees)]


def own_tags(cluster: Cluster) -> set[str]:
    """The resources that the cluster file names."""
    return {cluster.manager.resource, cluster.ip_resource.tag, *(s.tag for s in cluster.services)}


def _trees(printed: str) -> list[set[str]]:
    trees: list[set[str]] = []
    for tag, depth in rows_with_depth(printed):
        if depth == 0 or not trees:
            trees.append(set())
        trees[-1].add(tag)
    return trees


def unrelated_in_lifekeeper(printed: Iterable[str], file_tags: Collection[str], port: int) -> frozenset[str]:
    """From `lcdstatus -q` of the nodes: hierarchies that hold nothing of the file's (`file_tags`, and what answers its probe at `port`)."""
    return _unrelated_tags(_join_blocks([tree for text in printed for tree in _trees(text)], []), file_tags, port)


def unrelated_in_pacemaker(cib: str, file_tags: Collection[str], port: int) -> frozenset[str]:
    """From `cibadmin -Q`: groups and single resources that nothing ties to the file's. What is told its port is known by that."""
    root = document(cib)
    resources = None if root is None else root.find("configuration/resources")
    if root is None or resources is None:
        return frozenset()
    blocks = [{e.get("id", "") for e in block.iter() if e.tag in ("primitive", "group")} for block in resources if block.tag in BLOCKS]
    tags = {tag for block in blocks for tag in block}
    rules = root.find("configuration/constraints")
    ties = [*(_ties(rules) if rules is not None else ()), *lies_on(resources)]
    ports = {
        e.get("id", ""): pair.get("value", "")
        for e in resources.iter("primitive")
        for pair in e.iterfind("instance_attributes/nvpair")
        if pair.get("name") == "port"
    }
    return _unrelated_tags(_join_blocks(blocks, [pair for pair in ties if set(pair) <= tags]), file_tags, port, ports)


def _ties(rules: xml.Element) -> Iterable[tuple[str, str]]:
    """Whatever has one depend on the other, a wish to be together too. An order that is optional, or apart, ties nothing: so are the two
    halves of an application that live on different nodes."""
    for rule in (*rules.iter("rsc_colocation"), *rules.iter("rsc_order")):
        optional = rule.get("kind", "Mandatory") != "Mandatory" or rule.get("then-action") == "stop"
        if rule.get("score", "INFINITY").startswith("-") or optional:
            continue
        ends = [rule.get(name, "") for name in ("rsc", "with-rsc", "first", "then") if rule.get(name)]
        yield from pairwise([e.get("id", "") for e in rule.iter("resource_ref")] or ends)


def _unrelated_tags(
    joined: Iterable[set[str]], file_tags: Collection[str], port: int, ports: Mapping[str, str] = MappingProxyType({})
) -> frozenset[str]:
    """`ports`: the ports that resources are told. Where one has the probe's port, by its name or told, another that is only called like a
    responder is another application's."""
    parts = list(joined)

    def has_port(tag: str) -> bool:
        return tag not in file_tags and (str(port) in tag or ports.get(tag) == str(port))

    port_known = any(has_port(tag) for part in parts for tag in part)

    def is_ours(tag: str) -> bool:
        may_respond = not port_known and not ports.get(tag, "").isdigit() and has_responder_name(tag)
        return tag in file_tags or has_port(tag) or may_respond

    if not any(tag in file_tags for part in parts for tag in part):  # nothing of the file's was found, so nothing is known to be another's
        return frozenset()
    return frozenset(tag for part in parts if not any(map(is_ours, part)) for tag in part)


def of_pacemaker(monitor: str, constraints: str, resource: str, nodes: Iterable[str]) -> list[str]:
    """From crm_mon's XML and the CIB's constraints. A group moves as a whole, and what must be with another moves with it (PCM-05).

    Clones and fence devices run anywhere and are not moved.
    """
    root, rules = document(monitor), document(constraints)
    if root is None or rules is None:
        return ["what else the cluster has besides what its file names could not be read"]
    known_names = set(nodes)
    unlisted = sorted({n.get("name", "") for n in root.findall("nodes/node")} - known_names)
    blocks = [_ids(block) for block in root.find("resources") or () if _can_move(block)]
    tags = {tag for block in blocks for tag in block}
    together = [pair for pair in _pairs(rules) if set(pair) <= tags]
    return [
        *_describe_nodes(unlisted),
        *_describe_left_behind(resource, _join_blocks(blocks, together)),
        *_describe_unknown(resource, blocks),
    ]


def _can_move(block: xml.Element) -> bool:
    fences = block.get("resource_agent", "").startswith("stonith:")
    return block.tag not in COLLECTIONS and not fences and block.get("orphaned") != "true"


def _ids(block: xml.Element) -> set[str]:
    return {e.get("id", "") for e in block.iter() if e.tag in ("resource", "group")}


def _pairs(rules: xml.Element) -> Iterable[tuple[str, str]]:
    """What must be on one node, two by two."""
    for rule in rules.iter("rsc_colocation"):
        if rule.get("score", "INFINITY") not in MUST:
            continue
        members = [e.get("id", "") for e in rule.iter("resource_ref")] or [rule.get("rsc", ""), rule.get("with-rsc", "")]
        yield from pairwise(members)


def _join_blocks(blocks: Iterable[set[str]], pairs: Iterable[tuple[str, str]]) -> list[set[str]]:
    """Blocks that share a tag, or are tied by a pair, are one."""
    joined: list[set[str]] = []
    for block in [*blocks, *({a, b} for a, b in pairs)]:
        touching = [group for group in joined if group & block]
        joined = [group for group in joined if not group & block] + [set(block).union(*touching)]
    return joined


def _describe_left_behind(resource: str, joined: list[set[str]]) -> list[str]:
    own_group = next((group for group in joined if resource in group), None)
    if own_group is None:
        return []
    left_behind = sorted(tag for group in joined if group is not own_group for tag in group)
    return (
        [f"moving {resource} (manager.resource) does not move {', '.join(left_behind)}, which the cluster manager has besides"]
        if left_behind
        else []
    )


def _describe_unknown(resource: str, blocks: Iterable[set[str]]) -> list[str]:
    return [] if any(resource in block for block in blocks) else [f"the cluster manager knows no resource {resource} (manager.resource)"]


def _describe_nodes(names: Iterable[str]) -> list[str]:
    return [f"{name} is a node of the cluster that its file does not name" for name in names]


def _short_name(name: str) -> str:
    return name.lower().partition(".")[0]

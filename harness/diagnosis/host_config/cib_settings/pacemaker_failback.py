"""Does everything move back by itself, once a node that was lost is there again? Preferences against stickiness, by Pacemaker's
configuration (`cibadmin -Q`). What stands together stays where it is by the stickiness of all its members, and moves to where the
constraints on any of them weigh more than that (as crm_simulate has it, 2.1.5). Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from xml.etree import ElementTree as xml

from harness.diagnosis.host_config.manager_settings import Setting
from harness.diagnosis.host_config.pacemaker_cib import root_of

SCORE = re.compile(r"[+-]?[0-9]{1,6}")  # less than a million, which is INFINITY
PLAIN = ("primitive", "group")


def of_pacemaker(configuration: str) -> tuple[Setting, ...]:
    """What is preferred without limit is `manager_settings`' to tell; nothing where utilization, rules, clones or templates have a say."""
    root = root_of(configuration)
    return () if root is None else tuple(_find_failbacks(root))


def _find_failbacks(root: xml.Element) -> Iterator[Setting]:
    placement = [v.get("value") for v in root.iterfind("configuration/crm_config//nvpair") if v.get("name") == "placement-strategy"]
    if set(placement) - {"default"}:
        return
    blocks = {e.get("id", ""): block for block in root.iterfind("configuration/resources/*") for e in (block, *block.iter("primitive"))}
    for together in _standing_together(root, blocks):
        scores, stickiness = _scores(root, blocks, together), _stickiness(root, blocks, together)
        weights = {node: sum(score for _, _, score in each) for node, each in scores.items()} if scores else {}
        if stickiness is None or not weights:
            continue
        node = max(weights, key=lambda name: weights[name])
        margin = weights[node] - max((weight for name, weight in weights.items() if name != node), default=0)
        id, tag, score = max((scores or {})[node], key=lambda one: one[2])
        if score > 0 and margin > stickiness:
            yield Setting(
                f"the constraint {id} prefers {node} for {tag} by {score}, and what keeps it where it is (resource-stickiness) is "
                f"{stickiness} in all: after a failover from {node}, {tag} moves back as soon as {node} is there again, by itself, which "
                "is a second outage",
                f"the configuration: {id}, {tag} on {node}, score {score}; resource-stickiness of {', '.join(sorted(together))}, "
                f"together: {stickiness}",
                f"give {id} a score below the resource-stickiness, or {tag} more of that (`resource-stickiness` in rsc_defaults), unless "
                "everything is meant to move back at once",
                tag,
                mild=True,
                node=node,
            )


def _standing_together(root: xml.Element, blocks: Mapping[str, xml.Element]) -> list[frozenset[str]]:
    """Primitives and groups, by what constraints want them in one place, whatever their score; nothing of what is tied to clones, kept
    apart from something, or named in a set."""
    part_of = {block.get("id", ""): {block.get("id", "")} for block in blocks.values()}
    left_out = {id for id in part_of if blocks[id].tag not in PLAIN or blocks[id].get("class") == "stonith"}
    for rule in root.iterfind("configuration/constraints/rsc_colocation"):
        ends = [blocks[e].get("id", "") for e in (rule.get("rsc", ""), rule.get("with-rsc", "")) if e in blocks]
        named = [blocks[e.get("id", "")].get("id", "") for e in rule.iter("resource_ref") if e.get("id", "") in blocks]
        if named or len(ends) != 2 or rule.get("score", "INFINITY").startswith("-") or rule.find("rule") is not None:
            left_out |= {*named, *ends}
            continue
        joined = part_of[ends[0]] | part_of[ends[1]]
        for id in joined:
            part_of[id] = joined
    parts = dict.fromkeys(frozenset(part) for part in part_of.values())
    return [part for part in parts if not part & left_out]


def _scores(root: xml.Element, blocks: Mapping[str, xml.Element], together: frozenset[str]) -> dict[str, list[tuple[str, str, int]]] | None:
    """By node, the constraints on any of these: id, resource, score. None where one has a rule, or no plain score."""
    scores: dict[str, list[tuple[str, str, int]]] = defaultdict(list)
    for rule in root.iterfind("configuration/constraints/rsc_location"):
        tag = rule.get("rsc", "")
        if tag and (tag not in blocks or blocks[tag].get("id", "") not in together):
            continue
        if not tag or len(rule) or rule.get("role") or not rule.get("node") or not SCORE.fullmatch(rule.get("score", "")):
            return None
        scores[rule.get("node", "")].append((rule.get("id", ""), tag, int(rule.get("score", ""))))
    return scores


def _stickiness(root: xml.Element, blocks: Mapping[str, xml.Element], together: frozenset[str]) -> int | None:
    """Of all primitives in these: each one's own, else its group's, else the default (0). None where one hangs on a rule or a template."""
    total = 0
    for id in together:
        for primitive in blocks[id].iter("primitive"):
            text = "0"
            for holder in (primitive, blocks[id], root.find("configuration/rsc_defaults")):
                sets = [] if holder is None else holder.findall("meta_attributes")
                if primitive.get("template") or any(one.get("id-ref") or one.find("rule") is not None for one in sets):
                    return None
                own = [v.get("value", "") for one in sets for v in one.iterfind("nvpair") if v.get("name") == "resource-stickiness"]
                if own:
                    text = own[0]
                    break
            if not SCORE.fullmatch(text):
                return None
            total += int(text)
    return total

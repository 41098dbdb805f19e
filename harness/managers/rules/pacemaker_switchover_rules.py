"""What Pacemaker's configuration, and Pacemaker itself, say about everything going to the other node. Pure.

Its own scheduler is asked what it would do (`crm_simulate`, which changes nothing); what that does not know of is read: what a person
forbade, quorum without the other node, and whether fencing can work.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from xml.etree import ElementTree as xml

from harness.hosts.root_rights import ROOT
from harness.managers.manager import Answer, Question
from harness.managers.parse.pacemaker_parse import Reading, document, hand_move_ids, takes_nothing
from harness.managers.switchover_readiness import Case, NodeOutput, last_words

NOW = "date -u '+now %s'"
QUORUM = f"{ROOT} corosync-quorumtool -s 2>&1; true"
STAYS_FAILED = {"block": "left as it is", "ignore": "not acted upon", "stop": "stopped and started nowhere"}
VOTES = re.compile(r"^(?P<what>Total votes|Quorum):\s*(?P<number>\d+)", re.MULTILINE)
FLAGS = re.compile(r"^Flags:(?P<flags>.*)$", re.MULTILINE)
MEMBER = re.compile(r"^\s*(?:0x)?[0-9a-f]+\s+(?P<votes>\d+)\s+(?P<rest>.*)$", re.MULTILINE)
NAME = re.compile(r"[\w.:-]+\Z", re.ASCII)
NEXT = "-- next --"
FALSE = ("false", "no", "off", "n", "0")
PREFERENCE = "cli-prefer-"  # how the constraint begins that `crm_resource --move` leaves
FAIL_COUNT = re.compile(r"fail-count-(?P<tag>[^#]+)(?:#.*)?\Z")  # an attribute of a node's status


def would_lines(question: Question, resource: str, active: str, to: str, tags: Iterable[str] = ()) -> list[str]:
    """Lines of shell that have Pacemaker tell, as XML, what it would do, and change nothing; they may run side by side.

    Told, as `crm_resource --move` tells it; a node lost, as it would have to fence it; a failure of each of `tags`, as if that had banned
    the node for it.
    """
    failing = sorted(tags)
    if not all(NAME.match(name) for name in (resource, active, to, *failing)):
        return ["echo 'names that cannot be asked about'"]
    ask = "crm_simulate -p -S --output-as=xml"
    if question is Question.LOST:
        return [f"{ROOT} cibadmin -Q | {ask} -f {active}"]
    if question is Question.TOLD:
        return [f"{ROOT} cibadmin -Q | {_constraint_filter(resource, to, 'INFINITY')} | {ask}"]
    each = [f"printf '%s' \"$cib\" | {_constraint_filter(tag, active, '-INFINITY')} | {ask}" for tag in failing]
    halves = (each[::2], each[1::2])
    return [f"cib=$({ROOT} cibadmin -Q); " + f"; echo '{NEXT}'; ".join(half) for half in halves if half] or ["true"]


def moves_nothing(cib: NodeOutput, file_tags: Collection[str]) -> frozenset[str]:
    """Resources for whose failure nothing else moves, as they are told (critical=false), and that nothing else needs: none of `file_tags`,
    which the cluster's file names; in a group none behind it but others of that kind; first or the one to be with in no constraint."""
    root = document(cib.text or "")
    if root is None:
        return frozenset()
    needed = {rule.get(name, "") for rule in root.iter() for name in ("with-rsc", "first")} | {
        e.get("id", "") for e in root.iter("resource_ref")
    }
    tags: set[str] = set()
    for block in root.iterfind("configuration/resources/*"):
        if block.get("id", "") in needed:  # what needs a whole group needs its helpers (seen with 2.1.5: it is stopped with them)
            continue
        for primitive in [*block.iter("primitive")][::-1]:
            tag = primitive.get("id", "")
            critical = [v.get("value", "").lower() for v in primitive.iterfind("meta_attributes/nvpair") if v.get("name") == "critical"]
            if tag in file_tags or tag in needed or not critical or critical[-1] not in FALSE:
                break
            tags.add(tag)
    return frozenset(tags)


def _constraint_filter(resource: str, node: str, score: str) -> str:
    """A filter that adds a constraint to the configuration that it is given."""
    rule = f'<rsc_location id="lkharness-would" rsc="{resource}" node="{node}" score="{score}"/></constraints>'
    return f"sed 's|<constraints */>|<constraints></constraints>|; s|</constraints>|{rule}|'"


def by_simulation(to: str, simulations: Sequence[NodeOutput], reading: Reading) -> Case:
    """`would_lines`' answers: everything that is in service now must be in service on `to`, and nowhere else, in the end."""
    case = Case()
    for text, why in ((text, simulation.why) for simulation in simulations for text in (simulation.text or "").split(NEXT)):
        root = document(text)
        end = None if root is None else root.find("revised_cluster_status/resources")
        if end is None:
            message = last_words(text, why)
            return Case(unknown=[f"{to}: Pacemaker could not be asked what it would do (crm_simulate); it said: {message}"])
        places = {r.get("id", ""): _places(r) for r in end.iter("resource")}
        amiss: dict[str, list[str]] = {}
        for tag, element in reading.resources.items():
            then = places.get(tag, [])
            if _places(element) and then != [to]:
                amiss.setdefault("on " + " and ".join(then) if then else "stopped", []).append(tag)
        case.against += [f"Pacemaker would have {', '.join(tags)} {where} (crm_simulate)" for where, tags in amiss.items()]
    return case


def _places(resource: xml.Element) -> list[str]:
    if resource.get("role", "").lower() == "stopped" or resource.get("blocked") == "true" or resource.get("failed") == "true":
        return []
    return [n.get("name", "") for n in resource.findall("node")]


def by_cib(cib: NodeOutput, reading: Reading, resource: str, question: Question = Question.TOLD) -> Case:
    """The configuration (`cibadmin -Q`, and the node's own clock): constraints that a move by hand left, and failures that move nothing.

    A preference speaks against what is told only, which would fight it: it keeps nothing from leaving a node that is lost, or that a
    failure has banned (what the scheduler makes of it, `by_simulation` says)."""
    root = document(cib.text or "")
    if root is None:
        return Case(unknown=[f"Pacemaker's configuration could not be read; it said: {last_words(cib.text or '', cib.why)}"])
    case = Case()
    ours = {resource, *reading.resources, *reading.groups}
    moves = hand_move_ids(cib.text or "", ours)
    if constraints := [id for id in moves if question is Question.TOLD or not id.startswith(PREFERENCE)]:
        case.against.append(f"the constraint {', '.join(constraints)} is in force, which a move by hand left behind")
    if question is Question.FAILED:
        for tag, word in _on_fail(root, reading):
            if word == "fence" and reading.fencing_enabled is False:
                word = "stop"  # so Pacemaker takes it then
            if word not in STAYS_FAILED:
                continue
            case.against.append(f"{tag} is {STAYS_FAILED[word]} when it fails (on-fail={word})")
    return case


def by_failures(to: str, cib: NodeOutput, reading: Reading) -> Case:
    """Why the scheduler would not have something on `to`, where it would not: failures that are counted there. By themselves they forbid
    nothing, below the threshold and after their time-out; crm_mon does not list them of a node where nothing has run."""
    root = document(cib.text or "")
    counted: dict[str, str] = {}
    for node in root.iterfind("status/node_state") if root is not None else ():
        for pair in node.iterfind("transient_attributes//nvpair") if node.get("uname") == to else ():
            match = FAIL_COUNT.match(pair.get("name", ""))
            if match and match["tag"] in reading.resources and pair.get("value", "0") != "0":
                counted[match["tag"]] = pair.get("value", "")
    return Case(
        against=[
            f"{tag} has a fail count of {count} on {to}, which nobody cleaned up: from its threshold on, it may not run there"
            for tag, count in counted.items()
        ]
    )


def _on_fail(root: xml.Element, reading: Reading) -> Iterator[tuple[str, str]]:
    """Our resources, and what is done when a check of theirs fails (empty: it is recovered); by operations' own attributes and defaults."""
    usual = _option(root.find(".//op_defaults"), "on-fail")
    for primitive in root.iter("primitive"):
        tag = primitive.get("id", "")
        checks = [op for op in primitive.iter("op") if op.get("name") == "monitor"] if tag in reading.resources else []
        for word in dict.fromkeys((op.get("on-fail") or _option(op, "on-fail") or usual).lower() for op in checks):
            yield tag, word


def fences_failures(cib: NodeOutput, reading: Reading) -> bool:
    """Is a node fenced because a check fails there?"""
    root = document(cib.text or "")
    return root is not None and any(word == "fence" for _, word in _on_fail(root, reading))


def _option(where: xml.Element | None, name: str) -> str:
    values = [] if where is None else [e.get("value", "") for e in where.iter("nvpair") if e.get("name") == name]
    return values[-1] if values else ""


def health_counts(cib: NodeOutput) -> bool:
    """Does a node's health move resources? Only with a strategy; unread, it does."""
    root = document(cib.text or "")
    return root is None or _option(root.find(".//crm_config"), "node-health-strategy") not in ("", "none")


def fenced_off(cib: NodeOutput) -> bool:
    """Is a node that is fenced left without power? By the cluster's option, or by a device's own."""
    root = document(cib.text or "")
    words = [] if root is None else [_option(root, name) for name in ("stonith-action", "fencing-action", "pcmk_reboot_action")]
    return any(word in ("off", "poweroff") for word in words)


def by_quorum(active: str, to: str, quorum_output: NodeOutput, reading: Reading) -> Case:
    """`corosync-quorumtool -s`: is there quorum when the active node's votes are gone?"""
    if reading.options.get("no-quorum-policy") == "ignore":
        return Case()
    text = quorum_output.text or ""
    votes = {m["what"]: int(m["number"]) for m in VOTES.finditer(text)}
    flags = FLAGS.search(text)
    if flags is None or len(votes) < 2:
        return Case(
            unknown=[f"{to}: whether there is quorum without {active} could not be read; it said: {last_words(text, quorum_output.why)}"]
        )
    if "2Node" in flags["flags"].split():
        return Case()
    its = [int(m["votes"]) for m in MEMBER.finditer(text) if active in m["rest"].split()]
    remaining_votes = votes["Total votes"] - (its[0] if its else 1)
    if remaining_votes >= votes["Quorum"]:
        return Case()
    return Case(against=[f"without {active} there are {remaining_votes} votes, and quorum needs {votes['Quorum']}"])


def by_fencing(fencing: Answer, reading: Reading) -> Case:
    """A node that is lost must be fenced before anything is taken over, where fencing is in use."""
    case = Case()
    if reading.fencing_enabled is None:
        case.unknown.append("whether fencing is in use could not be read")
    elif reading.fencing_enabled and not fencing.yes:
        (case.against if fencing.no else case.unknown).extend(f"a lost node must be fenced first: {why}" for why in fencing.because)
    return case


def by_cluster(to: str, reading: Reading, *, health: bool = True, attributes: Mapping[str, str] | None = None) -> Case:
    """What the cluster's own options and the target's flags say of a switchover to it. `attributes`: what a constraint's rule holds against
    the node, by the constraint's id. Pure."""
    if reading.why:
        return Case(unknown=[f"{to}: {reading.why}"])
    case = Case()
    if reading.options.get("maintenance-mode") == "true":
        case.against.append("the cluster is in maintenance mode")
    if reading.options.get("stop-all-resources") == "true":
        case.against.append("the cluster is told to stop all resources")
    if reading.quorum is None:
        case.unknown.append("whether the cluster has quorum is not known")
    elif not reading.quorum:
        case.against.append(f"{to} is in a partition without quorum")
    if why := takes_nothing(to, reading.nodes.get(to, {"online": "true"})):
        case.against.append(why)
    for tag in (gave_up := [tag for tag in reading.blocked() if tag in reading.failures]):
        does = "Pacemaker leaves it alone until somebody has seen to it (`crm_resource --cleanup`)"
        case.against.append(f"{tag} is blocked: {reading.failures[tag]}, and {does}")
    blocked = [tag for tag in reading.blocked() if tag not in gave_up]
    unmanaged = [tag for tag in reading.unmanaged() if tag not in gave_up]  # a failure has made it so
    for tags, word in ((unmanaged, "not managed"), (blocked, "blocked"), (reading.disabled(), "told to stay stopped")):
        if tags:
            case.against.append(f"{', '.join(tags)} {'is' if len(tags) == 1 else 'are'} {word}")
    if health and reading.nodes.get(to, {}).get("health", "green") == "red":
        case.against.append(f"{to}'s health is red, so it takes nothing over")
    ours = {*reading.resources, *reading.groups}
    banned = sorted((id, resource) for id, resource, node in reading.bans if node == to and resource in ours)
    bans_by_reason: dict[str, list[tuple[str, str]]] = {}
    for id, resource in banned:
        bans_by_reason.setdefault((attributes or {}).get(id, ""), []).append((id, resource))
    for reason, bans in bans_by_reason.items():
        ids, banned_resources = (", ".join(dict.fromkeys(ban[i] for ban in bans)) for i in (0, 1))
        case.against.append(f"the constraint {ids} forbids {to} (for {banned_resources})" + (f": {reason}" if reason else ""))
    failed = sorted(tag for tag, node in reading.failed_on if node == to and tag in reading.resources)
    if failed:
        case.against.append(f"{', '.join(failed)} failed on {to}, and will not be tried there before `crm_resource --cleanup`")
    if nowhere := sorted(tag for tag in reading.failed_everywhere if tag in reading.resources):
        case.against.append(f"{', '.join(nowhere)} is not configured right, says its agent, and will be tried nowhere before a cleanup")
    return case


def by_clones(to: str, cib: NodeOutput, reading: Reading) -> Case:
    """What must be where a clone is needs an instance of it there; that one would be started is Pacemaker's to say."""
    root = document(cib.text or "")
    case = Case()
    if root is None:
        return case
    clones = {**{e.get("id", ""): e.get("id", "") for kind in ("clone", "master") for e in root.iter(kind)}}
    for kind in ("clone", "master"):
        for clone in root.iter(kind):
            clones |= {e.get("id", ""): clone.get("id", "") for e in clone.iter("primitive")}
    ours = {*reading.resources, *reading.groups}
    for rule in root.iter("rsc_colocation"):
        ids = [e.get("id", "") for e in rule.iter("resource_ref")] or [rule.get("rsc", ""), rule.get("with-rsc", "")]
        if rule.get("score", "INFINITY").lstrip("+") != "INFINITY" or not ours & set(ids):
            continue
        for needed in dict.fromkeys(clones[id] for id in ids if id in clones):
            if to not in reading.clones.get(needed, frozenset()):
                case.unknown.append(f"{needed}, which {rule.get('id', 'a colocation')} demands, has no instance on {to}")
    return case

"""What Pacemaker's and Corosync's tools print, read. Pure, and no text makes it raise (facts, cluster managers, section 4).

XML, never prettified text: its shape is the same whether pcs, crmsh or nobody set the cluster up.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as xml

from harness.hosts.bounded_parse import xml_of
from harness.managers.manager import CommPath, NodeState, ResourceState
from harness.managers.switchover_readiness import last_words

PROGRAM_SETTINGS = ("nc", "binfile", "pgctl", "psql", "httpd", "binary")  # of resource agents, by which they are given what to start
IN_SERVICE_ROLES = {"started", "promoted", "unpromoted", "master", "slave"}
IN_TRANSIT = {"starting", "stopping", "promoting", "demoting", "migrating"}
NOT_CONFIGURED = "6"  # and on no other
HARD_ERRORS = {"2", "3", "4", "5", "6"}  # an agent's exit codes after which Pacemaker does not try again on that node
INFINITY = 1_000_000
OPERATION = re.compile(r"_(?:start|stop|monitor|promote|demote|notify|reload|migrate_to|migrate_from)_\d+\Z")
COLLECTIONS = {"clone", "bundle"}  # run on every node, so they say nothing about who is active
# Corosync 3 names its links, Corosync 2 its rings; the words for a peer's state changed in between.
CLOCK = re.compile(r"^now \d{1,12}$", re.MULTILINE)  # of `date`, where it was asked with the rest
LINK = re.compile(r"^\s*(?:LINK|RING) ID\s+(?P<number>\d+)", re.IGNORECASE)
LINK_ADDRESS = re.compile(r"^\s*(?:addr|id)\s*=\s*(?P<address>\S+)")
LINK_PEER = re.compile(r"^\s*nodeid:?\s*(?P<id>\d+):(?P<state>.*)")
RING_STATUS = re.compile(r"^\s*status\s*=(?P<state>.*)")
OWN_ID = re.compile(r"^Local node ID\s+(?P<id>\d+)", re.MULTILINE)
# Mon dd hh:mm:ss.fff node daemon [pid] (function) level: text
LOG_LINE = re.compile(r"^\S+ +\d+ [\d:.]+ \S+ \S+ *\[\d+\] \([^)]*\)\s+(?P<level>\w+): (?P<text>.*)$")
ALARMING = {"warning", "error", "crit", "alert", "emerg"}
ACTS = re.compile(
    r"Result of \S+ operation for \S+ on \S+: (?!ok\b)|Requesting local execution of (?:start|stop|promote|demote|migrate_\w+) operation"
    r"|Initiating (?:start|stop|promote|demote) operation|Node \S+ state is now lost|Requesting (?:peer )?fencing|wants to fence"
)


def notices(line: str) -> bool:
    """A warning or worse, a failed operation, a peer that is lost, or the beginning of an action on a resource."""
    match = LOG_LINE.match(line)
    if match is None:
        return False
    probe = "Result of probe operation" in match["text"]
    return not probe and (match["level"] in ALARMING or ACTS.search(match["text"]) is not None)


@dataclass(frozen=True)
class Reading:
    """What one node's crm_mon said; `why` is empty when it could be read."""

    why: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    quorum: bool | None = None
    nodes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    resources: Mapping[str, xml.Element] = field(default_factory=dict)
    failed_on: frozenset[tuple[str, str]] = frozenset()  # resource and node where it will not be tried again
    failed_everywhere: frozenset[str] = frozenset()  # resources that are tried on no node any more
    failures: Mapping[str, str] = field(default_factory=dict)  # by resource, the last of its operations that failed, where, and how
    groups: frozenset[str] = frozenset()  # that hold any of them
    bans: tuple[tuple[str, str, str], ...] = ()  # constraints that forbid a node: their id, the resource and the node
    clones: Mapping[str, frozenset[str]] = field(default_factory=dict)  # by id, the nodes with an active instance
    copies: frozenset[str] = frozenset()  # resources that copy data to the other node
    twice: frozenset[str] = frozenset()  # resources that stand there more than once, so that no row of them is believed

    def without(self, tags: Collection[str]) -> Reading:
        """The same, as if the cluster had none of these resources and groups."""
        resources = {tag: element for tag, element in self.resources.items() if tag not in tags}
        return replace(self, resources=resources, groups=self.groups - set(tags))

    @property
    def fencing_enabled(self) -> bool | None:
        """None where it is not told; newer versions call it by the other name."""
        value = self.options.get("fencing-enabled", self.options.get("stonith-enabled"))
        return None if value is None else value == "true"

    def unmanaged(self) -> list[str]:
        """The resources that Pacemaker leaves alone."""
        return [tag for tag, element in self.resources.items() if not _is_true(element, "managed", True)]

    def blocked(self) -> list[str]:
        """The resources that Pacemaker gave up on."""
        return [tag for tag, element in self.resources.items() if _is_true(element, "blocked")]

    def disabled(self) -> list[str]:
        """The resources that somebody wants stopped."""
        return [tag for tag, element in self.resources.items() if element.get("target_role", "").lower() == "stopped"]


def read(text: str) -> Reading:
    """crm_mon's XML, of `--output-as=xml` or the older `--as-xml` (PCM-01, PCM-02). Anything before the document is let pass."""
    root = _document(text)
    if root is None:
        return Reading(f"crm_mon printed no XML; it said: {last_words(text)}")
    status = root.find("status")
    if status is not None and status.get("code", "0") != "0":
        message = status.get("message") or f"exit {status.get('code')}"
        more = [e.text.strip() for e in status.iter("error") if e.text and e.text.strip()]
        return Reading(f"Pacemaker does not answer: {'; '.join([message, *more])}")
    if root.find("nodes") is None or root.find("resources") is None:
        return Reading("crm_mon printed XML without nodes or resources")
    options = root.find("summary/cluster_options")
    dc = root.find("summary/current_dc")
    quorum = None if dc is None or dc.get("with_quorum") is None else _is_true(dc, "with_quorum")
    nodes = {n.get("name", ""): dict(n.attrib) for n in root.findall("nodes/node")}
    if any(nodes[n.get("name", "")] != n.attrib for n in root.findall("nodes/node")):
        return Reading("crm_mon contradicts itself about a node")
    primitives = list(_primitives(root.find("resources")))
    resources = {r.get("id", ""): r for r in primitives}
    twice = frozenset(tag for tag, times in Counter(r.get("id", "") for r in primitives).items() if times > 1)
    return Reading(
        "",
        {} if options is None else dict(options.attrib),
        quorum,
        nodes,
        resources,
        frozenset(_failed_on(root)),
        frozenset(tag for tag, code, _ in _failures(root) if code == NOT_CONFIGURED),
        {OPERATION.sub("", f.get("op_key", "")): _describe_failure(f) for f in root.findall("failures/failure")},
        frozenset(g.get("id", "") for g in root.iter("group")),
        tuple(_bans(root)),
        {c.get("id", ""): frozenset(n.get("name", "") for n in c.iter("node")) for c in root.iter("clone")},
        frozenset(r.get("id", "") for r in root.iter("resource") if r.get("resource_agent", "").endswith(":drbd")),
        twice,
    )


def node_state(node: str, monitor: str, links: str, peer: str, pairs: Mapping[str, str]) -> NodeState:
    """One node's own word. `pairs` maps its own addresses to its peer's."""
    paths = comm_paths(links, peer, pairs)
    reading = read(monitor)
    if reading.why:
        return NodeState(node, False, {}, paths, reading.why, stopped="does not answer" in reading.why)
    me = reading.nodes.get(node)
    if me is None:
        return NodeState(node, False, {}, paths, f"Pacemaker there knows no node {node}; it knows {', '.join(reading.nodes) or 'none'}")
    why = takes_nothing(node, me)
    if me.get("online") != "true":  # whatever it says runs there, it is not of the cluster
        return NodeState(node, False, {}, paths, why, stopped=True, quorum=reading.quorum)
    resources = {tag: _state(element, tag, node, reading) for tag, element in reading.resources.items()}
    return NodeState(node, not why, resources, paths, why, stopped=bool(why), quorum=reading.quorum)


def takes_nothing(node: str, me: Mapping[str, str]) -> str:
    """Why a node takes over nothing, by its own flags; empty when it does."""
    if me.get("online") != "true":
        return f"{node} is not online in its own cluster"
    flags = [(key, word) for key, word in NODE_FLAGS.items() if me.get(key) == "true"]
    return f"{node} {flags[0][1]}" if flags else ""


NODE_FLAGS = {
    "pending": "is still joining the cluster",
    "unclean": "is unclean: it waits to be fenced",
    "standby": "is in standby mode: it takes nothing over",
    "standby_onfail": "is in standby mode after a failure: it takes nothing over",
    "maintenance": "is in maintenance mode: nothing on it is managed",
    "shutdown": "is shutting down",
}


def _state(element: xml.Element, tag: str, node: str, reading: Reading) -> ResourceState:
    if tag in reading.twice or _is_garbled(element):
        return ResourceState.UNKNOWN
    here = any(n.get("name") == node for n in element.findall("node"))
    transit = {element.get("pending", "").lower(), element.get("role", "").lower()} & IN_TRANSIT
    if not here:
        return ResourceState.FAILED if (tag, node) in reading.failed_on else ResourceState.STANDBY
    if _is_true(element, "failed") and not _is_true(element, "failure_ignored"):
        return ResourceState.FAILED
    if transit or element.get("role", "").lower() not in IN_SERVICE_ROLES or not _is_true(element, "active", True):
        return ResourceState.UNKNOWN
    return (
        ResourceState.IN_SERVICE if _is_true(element, "managed", True) and not _is_true(element, "blocked") else ResourceState.UNPROTECTED
    )


def _is_garbled(element: xml.Element) -> bool:
    """A failure that is neither true nor false, or a count of nodes that is not that of the nodes named: the row lost something."""
    count = element.get("nodes_running_on")
    words = (element.get("failed", "false"), element.get("failure_ignored", "false"))
    return any(word not in ("true", "false") for word in words) or (count is not None and count != str(len(element.findall("node"))))


def _is_true(element: xml.Element, name: str, otherwise: bool = False) -> bool:
    """An attribute that older versions may not have."""
    value = element.get(name)
    return otherwise if value is None else value == "true"


def _document(text: str) -> xml.Element | None:
    begin = re.search(r"<(?:\?xml|pacemaker-result|crm_mon|cib|constraints|primitive)\b", text)
    if begin is None or "<!" in text:  # no entities: none of these tools has any
        return None
    root = _element(CLOCK.sub("", text[begin.start() :]).strip())
    return _refusal(text) if root is None else root


def document(text: str) -> xml.Element | None:
    """What one of Pacemaker's tools printed as XML; None where it is none."""
    return _document(text)


def _refusal(text: str) -> xml.Element | None:
    """The document by which a crm_mon said that it cannot tell, where the older command was tried after it and said more (seen: 2.1.5)."""
    begin = re.search(r"<pacemaker-result\b", text)
    end = text.find("</pacemaker-result>")
    root = _element(text[begin.start() : end] + "</pacemaker-result>") if begin and end > begin.start() else None
    status = None if root is None else root.find("status")
    return root if status is not None and status.get("code", "0") != "0" else None


def _element(text: str) -> xml.Element | None:
    try:
        return xml_of(text.encode("utf-8", "replace"))
    except ValueError:
        return None


def _primitives(parent: xml.Element | None) -> Iterator[xml.Element]:
    """Every single resource with its own place, however deep; fence devices run anywhere and do not count."""
    pending = list(parent if parent is not None else ())[::-1]
    while pending:
        element = pending.pop()
        if element.tag == "resource":
            if element.get("id") and not element.get("resource_agent", "").startswith("stonith:") and not _is_true(element, "orphaned"):
                yield element
        elif element.tag not in COLLECTIONS:
            pending += list(element)[::-1]


def _failed_on(root: xml.Element) -> Iterator[tuple[str, str]]:
    for node in root.findall("node_history/node"):
        for history in node.findall("resource_history"):
            count, most = _number(history.get("fail-count")), _number(history.get("migration-threshold")) or INFINITY
            if count and count >= most:
                yield history.get("id", ""), node.get("name", "")
    for tag, code, where in _failures(root):
        if code in HARD_ERRORS:
            yield tag, where


def _failures(root: xml.Element) -> Iterator[tuple[str, str, str]]:
    for failure in root.findall("failures/failure"):
        yield OPERATION.sub("", failure.get("op_key", "")), failure.get("exitcode", ""), failure.get("node", "")


def _describe_failure(failure: xml.Element) -> str:
    """`its stop failed on lknode01 (Timed Out)`: what the agent said of it, else how it ended."""
    operation = OPERATION.search(failure.get("op_key", ""))
    ended = [failure.get(name, "") for name in ("status", "exitstatus")]
    reason = failure.get("exitreason") or next((word for word in ended if word.lower() not in ("", "complete", "done")), "")
    what = operation[0].strip("_").rpartition("_")[0] if operation else "operation"
    return f"its {what} failed on {failure.get('node', 'a node')}" + (f" ({reason})" if reason else "")


def _bans(root: xml.Element) -> Iterator[tuple[str, str, str]]:
    """Those for one role of a promotable clone only are not ours."""
    for ban in root.findall("bans/ban"):
        role = "true" in (ban.get("promoted-only"), ban.get("master_only"))
        if not role and re.fullmatch(r"-(?:INFINITY|[0-9]{7,9})", ban.get("weight", "")):
            yield ban.get("id", ""), ban.get("resource", ""), ban.get("node", "")


def failures_until_ban(text: str) -> dict[str, tuple[int, int]]:
    """Resource → how many failures are counted on the node that it is on, and at how many that node is banned, where there is such a
    number, out of crm_mon's XML."""
    reading, root = read(text), _document(text)
    counts: dict[str, tuple[int, int]] = {}
    for node in root.findall("node_history/node") if root is not None else ():
        for history in node.findall("resource_history"):
            tag, most = history.get("id", ""), _number(history.get("migration-threshold"))
            here = tag in reading.resources and any(n.get("name") == node.get("name") for n in reading.resources[tag].findall("node"))
            if here and 0 < most < INFINITY:
                counts[tag] = (_number(history.get("fail-count")), most)
    return counts


def fail_counts(text: str) -> dict[str, dict[str, int]] | None:
    """Node → resource → its fail count, where it is not zero, out of crm_mon's XML; None where that cannot be read (PCM-01)."""
    root = _document(text)
    if root is None or root.find("nodes") is None:
        return None
    counts: dict[str, dict[str, int]] = {}
    for node in root.findall("node_history/node"):
        for history in node.findall("resource_history"):
            if count := _number(history.get("fail-count")):
                counts.setdefault(node.get("name", ""), {})[history.get("id", "")] = count
    return counts


def _number(text: str | None) -> int:
    if text is None:
        return 0
    if text.lstrip("+").upper() == "INFINITY":
        return INFINITY
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else 0


def comm_paths(text: str, peer: str, pairs: Mapping[str, str]) -> tuple[CommPath, ...]:
    """`corosync-cfgtool -s`: a path per link to another node than this one."""
    own_id = OWN_ID.search(text)
    paths: list[CommPath] = []
    address = ""
    for line in text.splitlines():
        if LINK.match(line):
            address = ""
        elif match := LINK_ADDRESS.match(line):
            address = match["address"].split("->")[0]
        elif match := LINK_PEER.match(line):
            if match["state"].strip() != "localhost" and not (own_id and own_id["id"] == match["id"]):
                alive = re.search(r"(?<!dis)connected(?!:0)", match["state"]) is not None
                paths.append(CommPath(peer, f"{address}/{pairs.get(address, peer)}", alive))
        elif (match := RING_STATUS.match(line)) and address:
            paths.append(CommPath(peer, f"{address}/{pairs.get(address, peer)}", "no faults" in match["state"]))
    return tuple(paths)


def hand_move_ids(text: str, resources: Collection[str]) -> list[str]:
    """The ids of the constraints that `--move` and `--ban` left for any of these resources (PCM-05), out of the CIB's constraints. One
    whose time is over is in force no more; `now SECONDS` behind the XML is the node's own clock."""
    root = _document(text)
    if root is None:
        return []
    clock = re.search(r"^now (\d{1,12})$", text, re.MULTILINE)
    ids = [e.get("id", "") for e in root.iter("rsc_location") if e.get("rsc") in resources and not _is_over(e, clock)]
    return [id for id in ids if re.match(r"cli-(?:prefer|ban|standby)-", id)]


def _is_over(constraint: xml.Element, clock: re.Match[str] | None) -> bool:
    """By a single rule with an end, as `--lifetime` makes it: all that it asks for must hold, and the end never holds again. An end
    without a zone is the node's own time, so a day more is given."""
    dates, rules = list(constraint.iter("date_expression")), list(constraint.iter("rule"))
    if clock is None or len(dates) != 1 or dates[0].get("operation") != "lt" or any(rule.get("boolean-op") == "or" for rule in rules):
        return False
    try:
        end = datetime.fromisoformat(dates[0].get("end", "").replace("Z", "+00:00").replace(" +", "+"))
        margin = timedelta(0) if end.tzinfo is not None else timedelta(days=1)
        return (end.replace(tzinfo=end.tzinfo or UTC) + margin).timestamp() < int(clock[1])
    except (ValueError, OverflowError):  # the year 9999, as of a rule for ever, has no day after it
        return False


def timed_moves(text: str, resource: str) -> list[str]:
    """The ids of those of a resource that end by themselves (`--move --lifetime`, PCM-05); none where another has no end."""
    root = _document(text)
    hand_moves = hand_move_ids(text, [resource])
    if root is None:
        return []
    timed = [e.get("id", "") for e in root.iter("rsc_location") if e.get("id") in hand_moves and e.find(".//date_expression") is not None]
    return timed if timed == hand_moves else []

"""States of a Pacemaker cluster made from a seed, and what Pacemaker's own scheduler does with each: the truth to hold an adapter against.

Every state is settled: the scheduler was asked, and what it did was done, before anybody looks.
"""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as xml

from harness.config import cluster_config
from harness.core.errors import HarnessError
from harness.hosts.host import CommandResult
from harness.lab.lifecycle import default_cluster
from harness.managers.kinds.pacemaker import CUT, MONITOR
from harness.managers.manager import Question

N1, N2, RESOURCE = "lknode01", "lknode02", "cluster-services"
CLUSTER = cluster_config.Cluster.model_validate(
    default_cluster.cluster_data(overrides={"manager": {"kind": "pacemaker", "starts_at_boot": True}})
)
TOOLS = all(shutil.which(tool, path="/usr/sbin:/usr/bin:/bin") for tool in ("crm_simulate", "crm_mon", "crm_resource"))
LINKS = """Local node ID 1, transport knet
LINK ID 0 udp
	addr	= 10.20.1.1
	status:
		nodeid:          1:	localhost
		nodeid:          2:	connected
"""
VOTES = """Expected votes:   2
Total votes:      2
Quorum:           {quorum}
Flags:            {flags}

    Nodeid      Votes Name
         1          1 lknode01
         2          1 lknode02 (local)
"""


class NoState(Exception):
    """The scheduler makes no whole cluster of it, so nobody would disturb it."""


@dataclass
class State:
    """One cluster, settled; `cib` is the file that has it."""

    cib: Path
    features: list[str]
    fences: bool  # is fencing in use?
    covered: bool  # by a device that is started
    quorum: str
    ignores_quorum: bool
    on_fail: dict[str, str] = field(default_factory=dict)  # resource → what its failed check does


def run(line: str, cib: Path, **given: str) -> str:
    """One of Pacemaker's tools, on a file; its exit code is for who reads the text."""
    environment = {"PATH": "/usr/sbin:/usr/bin:/bin", "LC_ALL": "C", "CIB_file": str(cib), **given}
    done = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=120, env=environment)
    return done.stdout


def nvpairs(parent: xml.Element, id: str, values: dict[str, str], tag: str = "meta_attributes") -> None:
    if values:
        made = xml.SubElement(parent, tag, id=id)
        for name, value in values.items():
            xml.SubElement(made, "nvpair", id=f"{id}-{name.strip('#')}", name=name, value=value)


class Maker:
    """Draws features, and writes the configuration that has them."""

    def __init__(self, number: int, folder: Path) -> None:
        self.draw = random.Random(number)
        self.moves = random.Random(f"{number}, a move by hand")  # of its own: what is drawn before and after it stays as it was
        self.folder = folder
        self.features: list[str] = []
        self.injected: list[str] = []
        self.on_fail: dict[str, str] = {}

    def chance(self, of: float, what: str) -> bool:
        drawn = self.draw.random() < of
        if drawn:
            self.features.append(what)
        return drawn

    def make(self) -> State:
        """Raises NoState."""
        draw = self.draw
        cib = xml.Element("cib", {"crm_feature_set": "3.0.14", "validate-with": "pacemaker-3.0", "epoch": "1", "num_updates": "0"})
        cib.attrib |= {"admin_epoch": "1", "have-quorum": "1", "dc-uuid": "1"}
        parts = {name: xml.Element(name) for name in ("crm_config", "nodes", "resources", "constraints")}
        xml.SubElement(cib, "configuration").extend(parts.values())
        options, fences = self.options()
        nvpairs(parts["crm_config"], "options", options, "cluster_property_set")
        self.nodes(parts["nodes"], options)
        covered = self.resources(parts["resources"], options, fences)
        self.constraints(parts["constraints"], options)
        xml.SubElement(cib, "status")
        first, settled = self.folder / "first.xml", self.folder / "settled.xml"
        settled.unlink(missing_ok=True)
        xml.ElementTree(cib).write(first, encoding="utf-8", xml_declaration=True)
        run(f"crm_simulate -x {first} -S -u {N1} -u {N2} -O {settled}", first)
        for operation in self.injected:
            run(f"crm_simulate -x {settled} -S -i {operation} -O {settled}.new && mv {settled}.new {settled}", settled)
        if not settled.exists():
            raise NoState("the scheduler wrote nothing")
        quorum = VOTES.format(quorum=1, flags="2Node Quorate WaitForAll")
        if self.chance(0.1, "quorum without two_node"):
            quorum = VOTES.format(quorum=2, flags="Quorate")
        fatal = re.sub(r'(name="fail-count-[^"]*#start_0" value=")1"', r'\1INFINITY"', settled.read_text())
        settled.write_text(fatal)  # as Pacemaker counts a start that failed, and crm_simulate does not
        if covered and not re.search(r'<resource id="fence"[^>]* role="Started"', run(MONITOR, settled)):
            covered = False
        ignores = options.get("no-quorum-policy") == "ignore"
        draw.shuffle(self.features)
        return State(settled, self.features, fences, covered, quorum, ignores, self.on_fail)

    def options(self) -> tuple[dict[str, str], bool]:
        options: dict[str, str] = {}
        fences = not self.chance(0.2, "no fencing")
        options["stonith-enabled"] = str(fences).lower()
        if self.chance(0.1, "opt-in"):
            options["symmetric-cluster"] = "false"
        if self.chance(0.25, "health strategy"):
            options["node-health-strategy"] = self.draw.choice(["none", "migrate-on-red", "only-green", "progressive"])
        if self.chance(0.15, "utilization"):
            options["placement-strategy"] = self.draw.choice(["utilization", "balanced", "minimal"])
        if self.chance(0.2, "no-quorum-policy"):
            options["no-quorum-policy"] = self.draw.choice(["ignore", "stop", "freeze"])
        if self.chance(0.05, "maintenance"):
            options["maintenance-mode"] = "true"
        return options, fences

    def nodes(self, nodes: xml.Element, options: dict[str, str]) -> None:
        for id, name in (("1", N1), ("2", N2)):
            node = xml.SubElement(nodes, "node", id=id, uname=name)
            attributes = {}
            if name == N2 and self.chance(0.2, "health"):
                attributes["#health-azure"] = self.draw.choice(["red", "yellow", "green"])
            if name == N2 and self.chance(0.05, "standby"):
                attributes["standby"] = "on"
            if name == N2 and self.chance(0.04, "node maintenance"):
                attributes["maintenance"] = "true"
            nvpairs(node, f"{name}-attributes", attributes, "instance_attributes")
            if "placement-strategy" in options:
                size = "8" if name == N1 else self.draw.choice(["1", "2", "8"])
                nvpairs(node, f"{name}-utilization", {"memory": size}, "utilization")

    def primitive(self, parent: xml.Element, id: str, options: dict[str, str]) -> None:
        made = xml.SubElement(parent, "primitive", {"id": id, "class": "ocf", "provider": "heartbeat", "type": "Dummy"})
        meta = {}
        if self.chance(0.15, "migration-threshold"):
            meta["migration-threshold"] = self.draw.choice(["1", "2", "3"])
        if self.chance(0.15, "stickiness"):
            meta["resource-stickiness"] = self.draw.choice(["1", "100", "INFINITY"])
        if self.chance(0.03, "unmanaged"):
            meta["is-managed"] = "false"
        if "placement-strategy" in options:
            nvpairs(made, f"{id}-utilization", {"memory": "1"}, "utilization")
        nvpairs(made, f"{id}-meta", meta)
        check = xml.SubElement(xml.SubElement(made, "operations"), "op", id=f"{id}-check", name="monitor", interval="10s")
        if self.chance(0.12, "on-fail"):
            self.on_fail[id] = self.draw.choice(["restart", "block", "ignore", "stop", "fence", "standby"])
            check.set("on-fail", self.on_fail[id])
        failures = (("failed on the target", N2, ("1", "5", "6")), ("failed here", N1, ("6",)))
        for what, node, codes in failures:
            if self.chance(0.03, what):
                self.injected.append(f"{id}_start_0@{node}={self.draw.choice(codes)}")

    def resources(self, resources: xml.Element, options: dict[str, str], fences: bool) -> bool:
        covered = not self.chance(0.1, "no fence device")
        if covered:
            xml.SubElement(resources, "primitive", {"id": "fence", "class": "stonith", "type": "fence_azure_arm"})
            if self.chance(0.08, "fence device failed on the target"):
                self.injected.append(f"fence_start_0@{N2}=1")
        group = xml.SubElement(resources, "group", id=RESOURCE)
        for id in ["web", "db", "lb"][: self.draw.randint(1, 3)]:
            self.primitive(group, id, options)
        self.alone = self.chance(0.5, "address beside the group")
        self.primitive(resources if self.alone else group, "ip", options)
        self.clone = self.chance(0.3, "clone")
        if self.clone:
            made = xml.SubElement(resources, "clone", id="base-clone")
            if self.chance(0.3, "one instance only"):
                nvpairs(made, "base-clone-meta", {"clone-max": "1"})
            base = xml.SubElement(made, "primitive", {"id": "base", "class": "ocf", "provider": "heartbeat", "type": "Dummy"})
            nvpairs(base, "base-meta", {"resource-stickiness": "0"})
            if self.chance(0.2, "clone instance failed on the target"):
                self.injected.append(f"base_start_0@{N2}=1")
        return covered

    def constraints(self, constraints: xml.Element, options: dict[str, str]) -> None:
        def rule(tag: str, id: str, **about: str) -> xml.Element:
            return xml.SubElement(constraints, tag, {"id": id, **{k.replace("_", "-"): v for k, v in about.items()}})

        rule("rsc_location", "home", rsc=RESOURCE, node=N1, score="50")
        if options.get("symmetric-cluster") == "false":
            for id in (RESOURCE, "ip", "fence", "base-clone"):
                exists = id not in ("base-clone",) or self.clone
                if exists and id != RESOURCE:
                    rule("rsc_location", f"{id}-one", rsc=id, node=N1, score="1") if id != "fence" else None
                if exists and self.draw.random() < 0.8:
                    rule("rsc_location", f"{id}-two", rsc=id, node=N2, score="1")
        if self.alone:
            rule("rsc_colocation", "ip-with", rsc="ip", with_rsc=RESOURCE, score="INFINITY")
        if self.clone and self.chance(0.7, "with the clone"):
            rule("rsc_colocation", "with-base", rsc=RESOURCE, with_rsc="base-clone", score="INFINITY")
            rule("rsc_order", "after-base", first="base-clone", then=RESOURCE)
        some = self.draw.choice([RESOURCE, "ip", "web"])
        if self.chance(0.08, "banned from the target"):
            rule("rsc_location", "avoid", rsc=some, node=N2, score="-INFINITY")
        if self.chance(0.15, "a wish"):
            rule("rsc_location", "wish", rsc=some, node=self.draw.choice([N1, N2]), score=self.draw.choice(["-10", "10", "-1000", "20"]))
        if self.chance(0.05, "banned by hand"):
            rule("rsc_location", f"cli-ban-{some}-on-{N2}", rsc=some, node=N2, score="-INFINITY")
        if self.chance(0.1, "a move by hand, long over"):
            made = rule("rsc_location", f"cli-prefer-{some}", rsc=some)
            inner = xml.SubElement(made, "rule", {"id": f"cli-prefer-rule-{some}", "score": "INFINITY", "boolean-op": "and"})
            xml.SubElement(inner, "expression", id=f"cli-prefer-expr-{some}", attribute="#uname", operation="eq", value=N1)
            xml.SubElement(inner, "date_expression", id=f"cli-prefer-lifetime-end-{some}", operation="lt", end="2020-01-01 00:00:00Z")
        if self.moves.random() < 0.1:  # which `crm_resource --move` leaves, until somebody takes it away
            self.features.append("a move by hand")
            to = self.moves.choice([N1, N1, N2])
            rule("rsc_location", f"cli-prefer-{some}-left", rsc=some, role="Started", node=to, score="INFINITY")
        if self.chance(0.05, "a rule on an attribute"):
            made = rule("rsc_location", "by-attribute", rsc=some)
            inner = xml.SubElement(made, "rule", {"id": "attribute-rule", "score": "-INFINITY"})
            xml.SubElement(inner, "expression", id="attribute", attribute="pingd", operation="not_defined")


class OnFile:
    """What a node would answer, from a file: the adapter's own lines, run as they are, where they are Pacemaker's."""

    def __init__(self, state: State, links: str = LINKS) -> None:
        self.state, self.links = state, links
        self.monitor = run(MONITOR, state.cib)

    def run(self, line: str, *, limit: float) -> CommandResult:
        devices = "fence\n1 fence device found\n" if self.state.covered else "0 fence devices found\n"
        if "stonith_admin" in line:
            said = f"{CUT}\n{devices}{CUT}\n{devices}"
        elif "corosync-quorumtool" in line:
            said = self.state.quorum
        elif "corosync-cfgtool" in line:
            said = f"{self.monitor}\n{CUT}\n{self.links}"
        elif "crm_mon" in line:
            said = self.monitor
        elif "cibadmin -Q" in line:
            said = run(line.replace("cibadmin -Q", f"cat {self.state.cib}"), self.state.cib)
        else:
            raise HarnessError(f"nobody answers to {line}")
        return CommandResult("", line, 0, said, "", 0.0, 0.0)


def ended(text: str) -> dict[str, list[str]]:
    """Resource → the nodes that it runs on in the end, by crm_simulate's XML."""
    root = xml.fromstring(text[text.index("<pacemaker-result") :])
    end = root.find("revised_cluster_status/resources")
    assert end is not None
    return {r.get("id", ""): [n.get("name", "") for n in r.findall("node")] for r in end.iter("resource") if r.get("role") != "Stopped"}


def goes(state: State, question: Question, tags: list[str]) -> bool:
    """What really happens, by other ways than the adapter's: a move as `crm_resource` makes it, a node whose membership is gone, a failed
    operation of each of the resources in turn."""
    if question is Question.TOLD:
        copy = _copy(state)
        run(f"crm_resource --clear --expired -r {RESOURCE}; crm_resource --move -r {RESOURCE} -N {N2}", copy)
        if {"banned by hand", "a move by hand"} & set(state.features):
            return False  # what a person forbade, or asked for, is not taken away, so the adapter does not move it
        return _all_there(copy, tags)
    if question is Question.FAILED:
        return all(_fails(state, failing, tags) for failing in tags)
    if state.fences and not state.covered:
        return False  # it waits for ever
    if "2Node" not in state.quorum and not state.ignores_quorum:
        return False
    copy = _copy(state)
    tree = xml.parse(copy)
    for node in tree.iter("node_state"):
        if node.get("uname") == N1:
            node.attrib |= {"in_ccm": "false", "crmd": "offline", "join": "down"}
    tree.write(copy)
    return _all_there(copy, tags)


def _fails(state: State, failing: str, tags: list[str]) -> bool:
    """At its first failure, as at the one that reaches its threshold."""
    if state.on_fail.get(failing) == "fence" and state.fences and not state.covered:
        return False
    copy = _copy(state)
    tree = xml.parse(copy)
    (primitive,) = (p for p in tree.iter("primitive") if p.get("id") == failing)
    thresholds = [p for p in primitive.iter("nvpair") if p.get("name") == "migration-threshold"]
    for nvpair in thresholds:
        nvpair.set("value", "1")
    if not thresholds:
        nvpairs(primitive, "threshold", {"migration-threshold": "1"})
        primitive.insert(0, primitive[-1])
        del primitive[-1]
    tree.write(copy)
    return _all_there(copy, tags, f"-i {failing}_monitor_10000@{N1}=7")


def _copy(state: State) -> Path:
    return Path(shutil.copy(state.cib, state.cib.with_name("copy.xml")))


def _all_there(cib: Path, tags: list[str], injected: str = "") -> bool:
    places = ended(run(f"crm_simulate -x {cib} -S {injected} --output-as=xml", cib))
    return all(places.get(tag) == [N2] for tag in tags)

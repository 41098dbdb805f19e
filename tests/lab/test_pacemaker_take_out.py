"""One resource out of service, the rest stays: what the adapter sets, against Pacemaker's own scheduler, on files."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as xml

import pytest

from harness.core.deadline import Deadline
from harness.hosts.host import CommandResult
from harness.managers.kinds import pacemaker
from harness.managers.manager import SwitchRefused
from harness.managers.rules import pacemaker_out_of_service_rules as take_out
from harness.managers.switchover_readiness import NodeOutput
from tests.lab.pacemaker_states import CLUSTER, N1, N2, TOOLS, Maker, NoState, run

pytestmark = pytest.mark.skipif(not TOOLS, reason="install pacemaker-cli-utils for Pacemaker's own scheduler")
CIB = """<cib crm_feature_set="3.0.14" validate-with="pacemaker-3.0" epoch="1" num_updates="0" admin_epoch="1" have-quorum="1" dc-uuid="1">
<configuration><crm_config><cluster_property_set id="o"><nvpair id="f" name="stonith-enabled" value="false"/></cluster_property_set>
</crm_config><nodes/><resources>{resources}</resources><constraints>{rules}</constraints></configuration><status/></cib>"""
TOGETHER = '<rsc_colocation id="c" rsc="{a}" with-rsc="{b}" score="INFINITY"/>'


def primitive(id: str) -> str:
    return f'<primitive id="{id}" class="ocf" provider="heartbeat" type="Dummy"/>'


def settled(folder: Path, resources: str, rules: str) -> Path:
    """A cluster of two nodes, in which Pacemaker has started what it may."""
    (first := folder / "first.xml").write_text(CIB.format(resources=resources, rules=rules))
    run(f"crm_simulate -x {first} -S -u {N1} -u {N2} -O {folder / 'cib.xml'}", first)
    return folder / "cib.xml"


def simulated(cib: Path) -> take_out.Alone:
    def simulate(text: str) -> NodeOutput:
        (cib.parent / "would.xml").write_text(text)
        return NodeOutput(run(f"{take_out.ASK} < {cib.parent / 'would.xml'}", cib))

    return take_out.alone("ip", NodeOutput(cib.read_text()), simulate)


def places(cib: Path) -> dict[str, list[str]]:
    """Where everything is once Pacemaker has done what it wants, with what it did to it on the way."""
    root = xml.fromstring(run(f"{take_out.ASK} < {cib}", cib))
    found = {
        r.get("id", ""): [n.get("name", "") for n in r.iter("node")] for r in root.find("revised_cluster_status/resources").iter("resource")
    }  # type: ignore[union-attr]
    for action in root.iterfind("transition/rsc_action"):
        if action.get("op") != "monitor":
            found[action.get("resource", "")].append(f"{action.get('op')}")
    return found


GROUPED = f'<group id="g">{primitive("ip")}{primitive("web")}</group>'
IP_LAST = f'<group id="g">{primitive("web")}{primitive("ip")}</group>'
APART = f'<group id="g">{primitive("web")}{primitive("db")}</group>{primitive("ip")}'
CLONED = f'<clone id="many">{primitive("base")}</clone>{primitive("ip")}'


@pytest.mark.parametrize(
    ("resources", "rules", "unmanaged", "why"),
    [
        pytest.param(APART, TOGETHER.format(a="ip", b="g"), (), "", id="beside the services: nothing depends on it"),
        pytest.param(IP_LAST, "", (), "", id="the last of its group"),
        pytest.param(APART, TOGETHER.format(a="g", b="ip"), ("db", "web"), "", id="the services must be where it is"),
        pytest.param(GROUPED, "", ("web",), "would not stop ip alone, as web would have to stop first", id="the first of its group"),
        pytest.param(
            CLONED,
            '<rsc_order id="order" first="ip" then="many"/>',
            (),
            "base is no resource that can be kept as it is",
            id="a clone is ordered after it",
        ),
    ],
)
def test_only_what_would_be_stopped_is_unmanaged(tmp_path: Path, resources: str, rules: str, unmanaged: tuple[str, ...], why: str) -> None:
    cib = settled(tmp_path, resources, rules)
    before = places(cib)
    found = simulated(cib)
    if why:
        assert why in found.why
        return
    assert found == take_out.Alone(unmanaged)
    run(take_out.line("ip", found.unmanaged, 900), cib)
    assert places(cib) == {**before, "ip": ["stop"]}
    assert cib.read_text().count('"is-managed"') == len(unmanaged)
    run(pacemaker.CLEAN, cib)
    assert places(cib) == before and take_out.OURS not in cib.read_text()


def test_after_its_time_it_means_nothing(tmp_path: Path) -> None:
    cib = settled(tmp_path, APART, TOGETHER.format(a="g", b="ip"))
    before = places(cib)
    run(take_out.line("ip", ("db", "web"), -5), cib)
    assert take_out.OURS in cib.read_text() and places(cib) == before


class Node:
    """Answers from a file; what would change something is counted."""

    def __init__(self, cib: Path) -> None:
        self.cib, self.changed = cib, 0

    def run(self, line: str, *, limit: float, input: bytes | None = None) -> CommandResult:
        self.changed += "cibadmin --modify" in line
        (self.cib.parent / "given.xml").write_bytes(input or b"")
        said = run(f"({line.replace('cibadmin -Q', f'cat {self.cib}')}) < {self.cib.parent / 'given.xml'}", self.cib)
        return CommandResult(N1, line, 0, said, "", 0.0, 0.0)


def test_it_is_asked_before_anything_is_set(tmp_path: Path) -> None:
    """The plan skips it with that reason, and the deed refuses it, when things have changed since."""
    node = Node(settled(tmp_path, GROUPED, ""))
    manager = pacemaker.Pacemaker(CLUSTER, {N1: node, N2: node})  # type: ignore[dict-item]
    assert "would not stop ip alone" in manager.stays_in("ip", N1)
    assert manager.take_out_lines("ip", N1) == []
    with pytest.raises(SwitchRefused, match="would not stop ip alone"):
        manager.take_out("ip", N1, deadline=Deadline(60.0))
    assert not node.changed


@pytest.mark.parametrize("said", ["", "<pacemaker-result/>", "crm_simulate: not found"])
def test_what_cannot_be_asked_is_not_done(said: str) -> None:
    found = take_out.alone(
        "ip", NodeOutput(CIB.format(resources=primitive("ip"), rules="")), lambda cib: NodeOutput(said, "no such program")
    )
    assert "could not be asked" in found.why
    assert "could not be read" in take_out.alone("ip", NodeOutput(None, "gone"), lambda cib: NodeOutput("")).why


def hold_against(numbers: range, folder: Path) -> Counter[str]:
    """What is said to go alone does so, and nothing else is touched; when all is taken away again, everything is as it was."""
    seen: Counter[str] = Counter()
    for number in numbers:
        try:
            cib = Maker(number, folder).make().cib
        except NoState:
            continue
        before = places(cib)
        if not before.get("ip"):
            continue
        found = simulated(cib)
        seen["refused" if found.why else f"alone, unmanaged {len(found.unmanaged)}"] += 1
        if found.why:
            continue
        run(take_out.line("ip", found.unmanaged, 900), cib)
        assert places(cib) == {**before, "ip": ["stop"]}, number
        run(pacemaker.CLEAN, cib)
        assert places(cib) == before, number
    return seen


def test_clusters_by_seed(tmp_path: Path) -> None:
    seen = hold_against(range(5), tmp_path)
    assert seen["alone, unmanaged 0"], seen


@pytest.mark.deep
@pytest.mark.timeout(3600)
def test_many_clusters_by_seed(tmp_path: Path) -> None:
    seen = hold_against(range(5000, 5400), tmp_path)
    print(dict(seen))
    assert seen.total() > 200

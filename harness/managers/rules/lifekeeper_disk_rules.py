"""What LifeKeeper's resources tell of shared and copied disks: app and type, by `ins_list` (LKL-18, LKL-19). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.config.cluster_config import Manager
from harness.managers.manager import Answer, answer
from harness.managers.rules.lifekeeper_switchover_rules import NO_QUORUM, QUORUM
from harness.managers.switchover_readiness import NodeOutput

SEPARATOR = "|"
UNFENCED = (
    "nothing is known to stop one side: no resource holds a SCSI reservation (manager.reservation_types), and no quorum mode is known to "
    "(manager.quorum_stops_loser)"
)


def fenced_by(instances: Mapping[str, NodeOutput], settings: Mapping[str, NodeOutput], manager: Manager) -> Answer:
    """Is it proven that one side of a split is stopped? On both nodes, each by its own word."""
    against, unknown = [], []
    for node, output in instances.items():
        if output.text is None:
            unknown.append(f"{node}: its resources could not be read: {output.why}")
        elif not any(kind in manager.reservation_types for kind, _ in _kinds(output.text)) and not _is_stopped_by_quorum(
            settings.get(node), manager
        ):
            against.append(f"{node}: {UNFENCED}")
    return answer(against, unknown)


def _is_stopped_by_quorum(output: NodeOutput | None, manager: Manager) -> bool:
    """A mode in force, of which a person says that it stops the loser. Majority of two stops both (WCLU-27)."""
    if output is None or output.text is None or not manager.quorum_stops_loser:
        return False
    modes = [m["mode"].lower() for m in QUORUM.finditer(output.text)]
    return (modes[-1] if modes else manager.quorum or "") not in {*NO_QUORUM, "majority"}


def mirrored_by(instances: Mapping[str, NodeOutput], manager: Manager) -> Answer | tuple[str, ...]:
    """The tags that copy data to the other node; an Answer where that cannot be read."""
    tags: dict[str, None] = {}
    for node, output in instances.items():
        if output.text is None:
            return answer([], [f"{node}: its resources could not be read, so whether they copy data is not known: {output.why}"])
        tags |= {tag: None for kind, tag in _kinds(output.text) if kind in manager.mirror_types}
    return tuple(tags)


def _kinds(printed: str) -> Iterator[tuple[str, str]]:
    """app/type and tag of every row: fields 2 to 4 [from memory]."""
    for line in printed.splitlines():
        fields = line.split(SEPARATOR)
        if len(fields) >= 4:
            yield f"{fields[1]}/{fields[2]}", fields[3]

"""What lcdstatus prints (LKL-05 to LKL-10, LKL-12). Pure: a snapshot in, text out."""

from __future__ import annotations

from dataclasses import dataclass

from harness.lab.lifekeeper.config.stand_in_settings import Config
from harness.lab.lifekeeper.hierarchy.resource_tree import Tree


@dataclass(frozen=True)
class PathView:
    """A communication path as it stands; `comm_downs`: how often its failure led to a failover."""

    local: str
    peer: str
    priority: int
    alive: bool
    comm_downs: int

    @property
    def state(self) -> str:
        """`ALIVE` or `DEAD`, as lcdstatus prints it."""
        return "ALIVE" if self.alive else "DEAD"


@dataclass(frozen=True)
class Snapshot:
    """Everything a display shows."""

    config: Config
    tree: Tree
    states: dict[str, str]
    reasons: dict[str, str]
    infos: dict[str, str]
    flags: list[str]
    paths: list[PathView]
    running: bool


def short(snapshot: Snapshot, *, backup: bool, root: str | None) -> str:
    """The tables of -q (`backup` false) and -e; widths follow LKL-09."""
    config = snapshot.config
    title = "BACKUP" if backup else "LOCAL"
    rows = [
        (
            _first_column(snapshot, tag, backup),
            " " * depth + tag,
            _shown_id(snapshot, tag),
            snapshot.states[tag],
            *_priorities(snapshot, tag),
        )
        for top in ([root] if root else snapshot.tree.roots)
        for tag, depth in snapshot.tree.walk(top)
    ]
    first = max(len(title), len(config.node), len(config.peer)) + 2
    tags = max([len("TAG"), *(len(row[1]) for row in rows)]) + 2
    ids = max([len("ID"), *(len(row[2]) for row in rows)]) + 2
    lines = [f"{title:<{first}}{'TAG':<{tags}}{'ID':<{ids}}{'STATE':<10}PRIO  PRIMARY"]
    lines += [f"{name:<{first}}{tag:<{tags}}{id_:<{ids}}{state:<10}{prio:>4}  {primary}" for name, tag, id_, state, prio, primary in rows]
    return "\n".join([*lines, *_path_table(snapshot)]) + "\n"


def _first_column(snapshot: Snapshot, tag: str, backup: bool) -> str:
    """The local node; for -e the next one in order of priority, dashes when there is none (LKL-05)."""
    priority = snapshot.tree.resources[tag].priority
    config = snapshot.config
    if not backup:
        return config.node
    return config.peer if priority[config.peer] > priority[config.node] else "------"


def _priorities(snapshot: Snapshot, tag: str) -> tuple[int, str]:
    """PRIO is ours; PRIMARY is the node with the highest priority, active or not (LKL-07)."""
    priority = snapshot.tree.resources[tag].priority
    return priority[snapshot.config.node], min(priority, key=priority.__getitem__)


def _shown_id(snapshot: Snapshot, tag: str) -> str:
    """Long IDs are shortened in the middle (LKL-06); to what length is not known, see Unknowns.id_longest."""
    full, unknowns = snapshot.tree.resources[tag].id, snapshot.config.unknowns
    if len(full) <= unknowns.id_longest:
        return full
    keep = max(2, unknowns.id_longest - len(unknowns.id_gap))
    return full[: keep - keep // 2] + unknowns.id_gap + full[-(keep // 2) :]


def _path_table(snapshot: Snapshot) -> list[str]:
    if not snapshot.paths:
        return []
    machine = max(len("MACHINE"), len(snapshot.config.peer)) + 2
    address = max(len("ADDRESSES/DEVICE"), *(len(f"{p.local}/{p.peer}") for p in snapshot.paths)) + 2
    lines = ["", f"{'MACHINE':<{machine}}{'NETWORK':<8}{'ADDRESSES/DEVICE':<{address}}{'STATE':<10}PRIO"]
    for p in snapshot.paths:
        lines.append(f"{snapshot.config.peer:<{machine}}{'TCP':<8}{p.local + '/' + p.peer:<{address}}{p.state:<10}{p.priority:>4}")
    return lines


def long(snapshot: Snapshot, root: str | None) -> str:
    """The display without -q or -e (LKL-12), as far as the facts give it."""
    tree, config = snapshot.tree, snapshot.config
    lines = [f'Resource hierarchies for machine "{config.node}":']
    for top in [root] if root else tree.roots:
        lines.append("ROOT of RESOURCE HIERARCHY")
        for tag in dict.fromkeys(tag for tag, _ in tree.walk(top)):
            lines += _detail(snapshot, tag)
    for p in snapshot.paths:
        lines.append(f"to machine={config.peer} type=TCP addresses={p.local}/{p.peer}")
        lines.append(f'        state="{p.state}" priority={p.priority} #comm_downs={p.comm_downs}')
    if snapshot.flags:
        lines += ["The following LifeKeeper flags are on:", *snapshot.flags]
    switches_over = "shutdown_switchover" in snapshot.flags
    lines.append("The shutdown strategy is set to: switchover." if switches_over else config.unknowns.default_strategy_line)
    return "\n".join(lines) + "\n"


def _detail(snapshot: Snapshot, tag: str) -> list[str]:
    resource, config = snapshot.tree.resources[tag], snapshot.config
    allowed = snapshot.running and any(p.alive for p in snapshot.paths)
    lines = [f"{tag}: id={resource.id} app={resource.app} type={resource.type} state={snapshot.states[tag]}"]
    details = ["initialize=(AUTORES_ISP) automatic restore to IN-SERVICE by LifeKeeper"]
    if snapshot.infos[tag]:
        details.append(f"info={snapshot.infos[tag]}")
    if snapshot.reasons[tag]:
        details.append(f"reason={snapshot.reasons[tag]}")
    if resource.children:
        details.append(f"depends on resources: {','.join(resource.children)}")
    if snapshot.tree.parents[tag]:
        details.append(f"these resources are dependent: {','.join(snapshot.tree.parents[tag])}")
    details += [
        f"Local priority = {resource.priority[config.node]}",
        f'SHARED equivalency with "{tag}" on "{config.peer}", priority = {resource.priority[config.peer]}',
        f"FAILOVER {'ALLOWED' if allowed else 'INHIBITED'}",
    ]
    return [*lines, *("        " + detail for detail in details)]

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


def short(seen: Snapshot, *, backup: bool, root: str | None) -> str:
    """The tables of -q (`backup` false) and -e; widths follow LKL-09."""
    config = seen.config
    title = "BACKUP" if backup else "LOCAL"
    rows = [
        (_first_column(seen, tag, backup), " " * depth + tag, _shown_id(seen, tag), seen.states[tag], *_priorities(seen, tag))
        for top in ([root] if root else seen.tree.roots)
        for tag, depth in seen.tree.walk(top)
    ]
    first = max(len(title), len(config.node), len(config.peer)) + 2
    tags = max([len("TAG"), *(len(row[1]) for row in rows)]) + 2
    ids = max([len("ID"), *(len(row[2]) for row in rows)]) + 2
    lines = [f"{title:<{first}}{'TAG':<{tags}}{'ID':<{ids}}{'STATE':<10}PRIO  PRIMARY"]
    lines += [f"{name:<{first}}{tag:<{tags}}{id_:<{ids}}{state:<10}{prio:>4}  {primary}" for name, tag, id_, state, prio, primary in rows]
    return "\n".join([*lines, *_path_table(seen)]) + "\n"


def _first_column(seen: Snapshot, tag: str, backup: bool) -> str:
    """The local node; for -e the next one in order of priority, dashes when there is none (LKL-05)."""
    priority = seen.tree.resources[tag].priority
    config = seen.config
    if not backup:
        return config.node
    return config.peer if priority[config.peer] > priority[config.node] else "------"


def _priorities(seen: Snapshot, tag: str) -> tuple[int, str]:
    """PRIO is ours; PRIMARY is the node with the highest priority, active or not (LKL-07)."""
    priority = seen.tree.resources[tag].priority
    return priority[seen.config.node], min(priority, key=priority.__getitem__)


def _shown_id(seen: Snapshot, tag: str) -> str:
    """Long IDs are shortened in the middle (LKL-06); to what length is not known, see Unknowns.id_longest."""
    full, unknowns = seen.tree.resources[tag].id, seen.config.unknowns
    if len(full) <= unknowns.id_longest:
        return full
    keep = max(2, unknowns.id_longest - len(unknowns.id_gap))
    return full[: keep - keep // 2] + unknowns.id_gap + full[-(keep // 2) :]


def _path_table(seen: Snapshot) -> list[str]:
    if not seen.paths:
        return []
    machine = max(len("MACHINE"), len(seen.config.peer)) + 2
    address = max(len("ADDRESSES/DEVICE"), *(len(f"{p.local}/{p.peer}") for p in seen.paths)) + 2
    lines = ["", f"{'MACHINE':<{machine}}{'NETWORK':<8}{'ADDRESSES/DEVICE':<{address}}{'STATE':<10}PRIO"]
    for p in seen.paths:
        lines.append(f"{seen.config.peer:<{machine}}{'TCP':<8}{p.local + '/' + p.peer:<{address}}{p.state:<10}{p.priority:>4}")
    return lines


def long(seen: Snapshot, root: str | None) -> str:
    """The display without -q or -e (LKL-12), as far as the facts give it."""
    tree, config = seen.tree, seen.config
    lines = [f'Resource hierarchies for machine "{config.node}":']
    for top in [root] if root else tree.roots:
        lines.append("ROOT of RESOURCE HIERARCHY")
        for tag in dict.fromkeys(tag for tag, _ in tree.walk(top)):
            lines += _detail(seen, tag)
    for p in seen.paths:
        lines.append(f"to machine={config.peer} type=TCP addresses={p.local}/{p.peer}")
        lines.append(f'        state="{p.state}" priority={p.priority} #comm_downs={p.comm_downs}')
    if seen.flags:
        lines += ["The following LifeKeeper flags are on:", *seen.flags]
    over = "shutdown_switchover" in seen.flags
    lines.append("The shutdown strategy is set to: switchover." if over else config.unknowns.default_strategy_line)
    return "\n".join(lines) + "\n"


def _detail(seen: Snapshot, tag: str) -> list[str]:
    resource, config = seen.tree.resources[tag], seen.config
    allowed = seen.running and any(p.alive for p in seen.paths)
    lines = [f"{tag}: id={resource.id} app={resource.app} type={resource.type} state={seen.states[tag]}"]
    details = ["initialize=(AUTORES_ISP) automatic restore to IN-SERVICE by LifeKeeper"]
    if seen.infos[tag]:
        details.append(f"info={seen.infos[tag]}")
    if seen.reasons[tag]:
        details.append(f"reason={seen.reasons[tag]}")
    if resource.children:
        details.append(f"depends on resources: {','.join(resource.children)}")
    if seen.tree.parents[tag]:
        details.append(f"these resources are dependent: {','.join(seen.tree.parents[tag])}")
    details += [
        f"Local priority = {resource.priority[config.node]}",
        f'SHARED equivalency with "{tag}" on "{config.peer}", priority = {resource.priority[config.peer]}',
        f"FAILOVER {'ALLOWED' if allowed else 'INHIBITED'}",
    ]
    return [*lines, *("        " + detail for detail in details)]

"""What the state of a cluster by itself says about a switchover, whatever the manager. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.core.text.host_text import cut_at_word
from harness.managers.manager import Answer, ClusterState, NodeState, Question, ResourceState, answer


@dataclass
class Case:
    """What speaks against a switchover, and what is not known; sentences for a person."""

    against: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def add(self, other: Case) -> Case:
        """Adds another case's reasons to this one, which it returns."""
        self.against += other.against
        self.unknown += other.unknown
        return self

    @property
    def answer(self) -> Answer:
        """The answer that the reasons amount to."""
        return answer(self.against, self.unknown)


@dataclass(frozen=True)
class NodeOutput:
    """What a command on a node said; `text` is None when it said nothing that can be used, and `why` then says so."""

    text: str | None
    why: str = ""


def last_words(*texts: str) -> str:
    """The last line of what was printed, cut for a message."""
    lines = [line for text in texts for line in text.strip().splitlines()[-1:] if line.strip()]
    return cut_at_word(lines[0].strip(), 200) if lines else "nothing"


def by_state(to: str, state: ClusterState, question: Question = Question.TOLD) -> Case:
    """May everything move to `to`, as far as both nodes' own words on their resources and paths go?"""
    case = Case()
    target = state.nodes.get(to)
    if target is None:
        case.against.append(f"{to} is not a node of this cluster ({', '.join(state.nodes)})")
        return case
    for node in state.nodes.values():
        if not node.running:
            words = f"{node.node}: {node.why or 'it could not be asked'}"
            (case.against if node.stopped else case.unknown).append(words)
        else:
            case.add(_judge_paths(node))
            unsure = [tag for tag, resource_state in node.resources.items() if resource_state is ResourceState.UNKNOWN]
            if unsure:
                case.unknown.append(f"{node.node}: the state of {', '.join(unsure)} is in transit or not known; ask again")
    other_nodes = [n for n in state.nodes.values() if n.node != to]
    return case.add(_judge_holders(target, other_nodes)).add(_judge_fit(target, other_nodes, question))


def _judge_fit(target: NodeState, other_nodes: list[NodeState], question: Question) -> Case:
    """Resources that are known on one node only do not move (WCLU-35); what failed on the target may fail there again (WCLU-33); what is
    in service unprotected is not recovered when it fails (WCLU-34)."""
    case = Case()
    if not target.running or not target.resources:
        return case
    holders = [node for node in other_nodes if node.running and node.has_something]
    for node in holders:
        missing = [tag for tag in node.resources if tag not in target.resources]
        renamed = [tag for tag in target.resources if tag not in node.resources]
        if missing:
            words = f"{target.node} does not know {', '.join(missing)}, which {node.node} has"
            if renamed:
                case.unknown.append(f"{words}, and whether {', '.join(renamed)} is the same by another name is not known")
            else:
                case.against.append(words)
        loose = [tag for tag, resource_state in node.resources.items() if resource_state is ResourceState.UNPROTECTED]
        if loose and question is Question.FAILED:
            case.against.append(f"{', '.join(loose)} in service on {node.node} unprotected: when it fails, nothing is done")
    failed = [tag for tag, resource_state in target.resources.items() if resource_state is ResourceState.FAILED]
    if failed and holders:
        case.unknown.append(f"{', '.join(failed)} failed on {target.node} and may fail there again")
    return case


def _judge_holders(target: NodeState, other_nodes: list[NodeState]) -> Case:
    case = Case()
    target_tags = [tag for tag, resource_state in target.resources.items() if resource_state.active]
    theirs = {node.node: [tag for tag, resource_state in node.resources.items() if resource_state.active] for node in other_nodes}
    holders = [name for name, tags in theirs.items() if tags]
    if target_tags and holders:
        case.against.append(f"{' and '.join(sorted([target.node, *holders]))} both have resources in service")
    elif target_tags:
        what = "everything" if target.has_everything else ", ".join(target_tags)
        case.against.append(f"{target.node} has {what} in service already")
    elif not holders and target.running and all(node.running for node in other_nodes):
        case.against.append("nothing is in service on either node, so there is nothing to move")
    if target.running and not target.resources:
        case.against.append(f"{target.node} knows no resource, so it cannot take any over")
    return case


def _judge_paths(node: NodeState) -> Case:
    if not node.comm_paths:
        return Case(unknown=[f"{node.node} names no communication path, so whether it hears the other node is not known"])
    if not any(path.alive for path in node.comm_paths):
        return Case(against=[f"{node.node}: every communication path is dead ({', '.join(p.addresses for p in node.comm_paths)})"])
    return Case()

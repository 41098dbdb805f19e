"""The resource hierarchy as a graph: what depends on what, and in which order things move. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from harness.lab.lifekeeper.config.stand_in_settings import Resource


class Tree:
    """Parents depend on their children; a child may have several parents."""

    def __init__(self, resources: Iterable[Resource]) -> None:
        self.resources = {r.tag: r for r in resources}
        self.parents: dict[str, list[str]] = {tag: [] for tag in self.resources}
        for r in self.resources.values():
            for child in r.children:
                self.parents[child].append(r.tag)

    @property
    def roots(self) -> list[str]:
        """The resources that nothing depends on."""
        return [tag for tag, parents in self.parents.items() if not parents]

    def children(self, tag: str) -> tuple[str, ...]:
        """What that resource depends on."""
        return self.resources[tag].children

    def below(self, tags: Iterable[str]) -> set[str]:
        """The tags and everything they depend on."""
        return self._closure(tags, self.children)

    def above(self, tags: Iterable[str]) -> set[str]:
        """The tags and everything that depends on them."""
        return self._closure(tags, self.parents.__getitem__)

    def hierarchy(self, tag: str) -> set[str]:
        """Everything above the tag and everything those need: the scope of a restore (LKL-28)."""
        return self.below(self.above([tag]))

    def children_first(self) -> list[str]:
        """Every tag, none before one that it depends on."""
        ordered: dict[str, None] = {}

        def place(tag: str) -> None:
            for child in self.children(tag):
                place(child)
            ordered.setdefault(tag)

        for root in self.roots:
            place(root)
        return list(ordered)

    def walk(self, root: str, depth: int = 0) -> Iterator[tuple[str, int]]:
        """Every occurrence of a tag below a root with its depth; a shared child comes under each of its parents."""
        yield root, depth
        for child in self.children(root):
            yield from self.walk(child, depth + 1)

    @staticmethod
    def _closure(tags: Iterable[str], step) -> set[str]:
        closure: set[str] = set()
        todo = list(tags)
        while todo:
            tag = todo.pop()
            if tag not in closure:
                closure.add(tag)
                todo += step(tag)
        return closure

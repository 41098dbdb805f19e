"""Every public module, class and function says what it does; a method that overrides one may leave that to the class it comes from."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import harness

ROOT = Path(harness.__file__).parent
Functions = ast.FunctionDef | ast.AsyncFunctionDef


def _public(body: list[ast.stmt]) -> Iterator[ast.ClassDef | Functions]:
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield node


def _bases(node: ast.ClassDef) -> list[str]:
    return [ast.unparse(base).partition("[")[0].rpartition(".")[2] for base in node.bases]


class Described:
    """The methods that some class describes, by the class's name, and where each class comes from."""

    def __init__(self, trees: dict[Path, ast.Module]) -> None:
        self._methods: dict[str, set[str]] = {}
        self._bases: dict[str, set[str]] = {}
        for tree in trees.values():
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef):
                    described = {one.name for one in _public(node.body) if ast.get_docstring(one)}
                    self._methods.setdefault(node.name, set()).update(described)
                    self._bases.setdefault(node.name, set()).update(_bases(node))

    def inherited(self, bases: list[str], method: str, looked_at: frozenset[str] = frozenset()) -> bool:
        new = [base for base in bases if base not in looked_at]
        return any(
            method in self._methods.get(base, ()) or self.inherited(sorted(self._bases.get(base, ())), method, looked_at | {base})
            for base in new
        )


def lacking(trees: dict[Path, ast.Module]) -> list[str]:
    described, found = Described(trees), []
    for path, tree in trees.items():
        if tree.body and not ast.get_docstring(tree):
            found.append(f"{path}")
        for node in _public(tree.body):
            if not ast.get_docstring(node):
                found.append(f"{path}: {node.name}")
            if isinstance(node, ast.ClassDef):
                methods = [m for m in _public(node.body) if not ast.get_docstring(m) and not described.inherited(_bases(node), m.name)]
                found += [f"{path}: {node.name}.{method.name}" for method in methods if not _is_setter(method)]
    return found


def _is_setter(method: ast.ClassDef | Functions) -> bool:
    return any(isinstance(one, ast.Attribute) and one.attr == "setter" for one in method.decorator_list)


def test_every_public_name_is_described() -> None:
    assert lacking({path: ast.parse(path.read_bytes()) for path in sorted(ROOT.rglob("*.py"))}) == []


def test_what_is_not_described_is_named() -> None:
    """And what a class inherits, from a class in another file as well, is not."""
    base = ast.parse('"""One."""\nclass Base:\n    """A base."""\n    def run(self):\n        """Runs."""\n')
    methods = "    def run(self): ...\n    def stop(self): ...\n"
    other = ast.parse(f'"""Two."""\nclass Other(one.Base):\n    """Another."""\n{methods}def go(): ...\n')
    here = Path("two.py")
    assert lacking({Path("one.py"): base, here: other, Path("three.py"): ast.parse("X = 1")}) == [
        "two.py: Other.stop",
        "two.py: go",
        "three.py",
    ]

"""The sentences under a model's fields, as descriptions in its JSON Schema. They are read when a schema is made, and not, as pydantic would
with `use_attribute_docstrings`, whenever the model is imported: that parses the source of every class."""

from __future__ import annotations

import ast
import inspect
import textwrap
from itertools import pairwise
from typing import Any


def describe(schema: dict[str, Any], model: type) -> None:
    """For `json_schema_extra`: adds to each property the string that stands under its field."""
    told: dict[str, str] = {}
    for kind in reversed(model.__mro__):
        if "__annotations__" in vars(kind) and kind.__module__.split(".")[0] == model.__module__.split(".")[0]:
            told.update(_under_fields(kind))
    for name, field in schema.get("properties", {}).items():
        if name in told:
            field.setdefault("description", told[name])


def _under_fields(kind: type) -> dict[str, str]:
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(tree, ast.ClassDef)
    return {
        field.target.id: inspect.cleandoc(under.value.value)
        for field, under in pairwise(tree.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        and isinstance(under, ast.Expr) and isinstance(under.value, ast.Constant) and isinstance(under.value.value, str)
    }  # fmt: skip

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
    descriptions: dict[str, str] = {}
    for ancestor in reversed(model.__mro__):
        if "__annotations__" in vars(ancestor) and ancestor.__module__.split(".")[0] == model.__module__.split(".")[0]:
            descriptions.update(_under_fields(ancestor))
    for name, field in schema.get("properties", {}).items():
        if name in descriptions:
            field.setdefault("description", descriptions[name])


def _under_fields(model: type) -> dict[str, str]:
    tree = ast.parse(textwrap.dedent(inspect.getsource(model))).body[0]
    assert isinstance(tree, ast.ClassDef)
    return {
        field.target.id: inspect.cleandoc(under.value.value)
        for field, under in pairwise(tree.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        and isinstance(under, ast.Expr) and isinstance(under.value, ast.Constant) and isinstance(under.value.value, str)
    }  # fmt: skip

"""The one template that a cluster is made of, and what would be made of it: worked out here, without Azure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.azure.provision.template.arm_expressions import Scope, evaluate
from harness.core.errors import BadUse

FILE = Path(__file__).with_name("template.json")


@dataclass(frozen=True)
class Resource:
    """One that will be made. `body` is what ARM gets for it, `after` the ids of those that must be there first."""

    id: str
    type: str
    name: str
    api_version: str
    body: dict[str, Any]
    after: frozenset[str] = field(default=frozenset())


def load() -> dict[str, Any]:
    """The template as JSON."""
    return json.loads(FILE.read_text(encoding="utf-8"))


def parameters_of(template: Mapping[str, Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Every parameter's value: what is given, or its default. Raises BadUse with all that is wrong."""
    declarations = template["parameters"]
    faults = [f"the template has no parameter {name!r}" for name in arguments if name not in declarations]
    values = {}
    for name, declaration in declarations.items():
        if name not in arguments and "defaultValue" not in declaration:
            faults.append(f"the template's parameter {name!r} must be given")
            continue
        values[name] = arguments.get(name, declaration.get("defaultValue"))
        faults += [f"{name}: {fault}" for fault in _faults(values[name], declaration)]
    if faults:
        raise BadUse("; ".join(faults))
    return values


def _faults(value: Any, declaration: Mapping[str, Any]) -> list[str]:
    kinds = {"string": str, "int": int, "bool": bool, "array": list, "object": dict}
    if not isinstance(value, kinds[declaration["type"]]) or (declaration["type"] == "int" and isinstance(value, bool)):
        return [f"{value!r} is no {declaration['type']}"]
    faults = []
    if "allowedValues" in declaration and value not in declaration["allowedValues"]:
        faults.append(f"{value!r} is none of {', '.join(map(str, declaration['allowedValues']))}")
    if value < declaration.get("minValue", value) if isinstance(value, int) else False:
        faults.append(f"{value} is less than {declaration['minValue']}")
    if value > declaration.get("maxValue", value) if isinstance(value, int) else False:
        faults.append(f"{value} is more than {declaration['maxValue']}")
    return faults


def resources(template: Mapping[str, Any], arguments: Mapping[str, Any], *, subscription: str, group: str) -> list[Resource]:
    """Every resource that the template makes of these parameters, in an order in which they can be made. Raises BadUse."""
    root = f"/subscriptions/{subscription}/resourceGroups/{group}/providers"
    values = parameters_of(template, arguments)

    def resource_id(kind: str, *names: str) -> str:
        provider, *types = kind.split("/")
        return f"{root}/{provider}/" + "/".join(f"{t}/{n}" for t, n in zip(types, names, strict=True))

    def variable(name: str) -> Any:
        return evaluate(template["variables"][name], scope) if name in template["variables"] else loops[name]

    scope = Scope(values, variable, resource_id)
    loops: dict[str, list[Any]] = {}
    for loop in template["variables"].get("copy", []):
        count = evaluate(loop["count"], scope)
        loops[loop["name"]] = [evaluate(loop["input"], Scope(values, variable, resource_id, {loop["name"]: i})) for i in range(count)]

    evaluated_resources = []
    for declared in template["resources"]:
        if not evaluate(declared.get("condition", True), scope):
            continue
        loop = declared.get("copy")
        for i in range(evaluate(loop["count"], scope) if loop else 1):
            loop_scope = Scope(values, variable, resource_id, {"": i, loop["name"]: i}) if loop else scope
            evaluated_resources.append(
                _evaluate_resource({k: v for k, v in declared.items() if k not in ("copy", "condition")}, loop_scope)
            )
    ids = {r.id for r in evaluated_resources}
    return _sort_by_dependency([Resource(r.id, r.type, r.name, r.api_version, r.body, r.after & ids) for r in evaluated_resources])


def _evaluate_resource(declared: Mapping[str, Any], scope: Scope) -> Resource:
    body = evaluate(dict(declared), scope)
    after = frozenset(body.pop("dependsOn", []))
    kind, name = body["type"], body["name"]
    return Resource(scope.resource_id(kind, *name.split("/")), kind, name, body["apiVersion"], _without_nulls(body), after)


def _without_nulls(value: Any) -> Any:
    """ARM takes a null for a property that is not there."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _sort_by_dependency(declared: list[Resource]) -> list[Resource]:
    """Each after those that it needs."""
    ordered: list[Resource] = []
    waiting = list(declared)
    while waiting:
        ordered_ids = {r.id for r in ordered}
        ready = [r for r in waiting if r.after <= ordered_ids]
        if not ready:
            raise BadUse(f"the template's resources wait for each other: {', '.join(r.name for r in waiting)}")
        ordered += ready
        waiting = [r for r in waiting if r not in ready]
    return ordered

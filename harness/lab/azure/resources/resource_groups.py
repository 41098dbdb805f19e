"""The subscription, the resource group, the list of all resources, and tags wherever they hang."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.lab.azure.resources import balancers, networks, nics, nsgs, resource_filter, vms
from harness.lab.azure.state import resource_ids
from harness.lab.azure.state.azure_state import AzureState
from harness.lab.azure.state.http_types import Answer, Problem, Request


def subscription(fabric: AzureState, request: Request) -> Answer:
    """GET of the subscription that was asked for, which is the lab's."""
    return Answer(
        200,
        {
            "id": f"/subscriptions/{resource_ids.SUBSCRIPTION}",
            "subscriptionId": resource_ids.SUBSCRIPTION,
            "tenantId": resource_ids.TENANT,
            "displayName": "the lab's",
            "state": "Enabled",
        },
    )


def subscriptions(fabric: AzureState, request: Request) -> Answer:
    """GET of the subscriptions that the caller may see: the lab's one."""
    return Answer(200, {"value": [subscription(fabric, request).body]})


# Each namespace's types that the lab has, as Azure spells them.
PROVIDERS = {
    "Microsoft.Compute": ("virtualMachines",),
    "Microsoft.Network": ("loadBalancers", "networkInterfaces", "networkSecurityGroups", "routeTables", "virtualNetworks"),
    "Microsoft.Resources": ("resourceGroups", "subscriptions", "tags"),
}
API_VERSIONS = ("2024-07-01", "2024-05-01", "2021-04-01")  # the lab takes any that has the form


def _provider(fabric: AzureState, namespace: str) -> dict[str, Any]:
    location = fabric.common("", "", "")["location"]
    types = [{"resourceType": t, "locations": [location], "apiVersions": list(API_VERSIONS)} for t in PROVIDERS[namespace]]
    id = f"/subscriptions/{resource_ids.SUBSCRIPTION}/providers/{namespace}"
    return {"id": id, "namespace": namespace, "registrationState": "Registered", "resourceTypes": types}


def providers(fabric: AzureState, request: Request) -> Answer:
    """GET of the namespaces that the subscription is registered for."""
    return Answer(200, {"value": [_provider(fabric, namespace) for namespace in PROVIDERS]})


def provider(fabric: AzureState, request: Request, namespace: str) -> Answer:
    """GET of one namespace; raises Problem 404 for one that the lab has nothing of."""
    for provider_name in PROVIDERS:
        if provider_name.lower() == namespace.lower():
            return Answer(200, _provider(fabric, provider_name))
    raise Problem(404, "InvalidResourceNamespace", f"The resource namespace '{namespace}' is invalid.")


def _group(fabric: AzureState) -> dict[str, Any]:
    kind = "Microsoft.Resources/resourceGroups"
    return {**fabric.common(resource_ids.group_id(), resource_ids.GROUP, kind), "properties": {"provisioningState": "Succeeded"}}


def group_(fabric: AzureState, request: Request, group: str) -> Answer:
    """GET of the resource group."""
    return Answer(200, _group(fabric))


def list_groups(fabric: AzureState, request: Request) -> Answer:
    """GET of the subscription's resource groups, filtered by tag where the request asks for that."""
    return Answer(200, {"value": _apply_filter(request, [_group(fabric)])})


def all_resources(fabric: AzureState) -> list[dict[str, Any]]:
    """Every resource that a resource group lists, without its properties."""
    resources = [
        *(vms.resource(fabric, machine.name) for machine in fabric.cluster.machines),
        *(nics.resource(fabric, nic) for nic in fabric.topology.nics),
        *(nsgs.resource(fabric, place) for place in resource_ids.guarded(fabric.topology)),
        balancers.resource(fabric),
        networks.resource(fabric),
        *fabric.misconfigurations.route_tables(fabric),
    ]
    return [{key: value for key, value in resource.items() if key not in ("properties", "etag")} for resource in resources]


def list_resources(fabric: AzureState, request: Request, group: str = resource_ids.GROUP) -> Answer:
    """GET of all resources of the group, filtered by tag, without those that the list is made to lag behind with."""
    resources = [r for r in all_resources(fabric) if r["name"] not in fabric.conditions.unlisted]
    expanded = _read_expand(fabric, request)
    return Answer(200, {"value": [r | expanded for r in _apply_filter(request, resources)]})


def _read_expand(fabric: AzureState, request: Request) -> dict[str, Any]:
    """What `$expand` adds to each resource of a list; a change is none of its own time here. Raises Problem for what is not known."""
    values = {"createdTime": fabric.began, "changedTime": fabric.began, "provisioningState": "Succeeded"}
    names = [name.strip() for name in request.query.get("$expand", "").split(",") if name.strip()]
    if unknown := [name for name in names if name not in values]:
        raise Problem(400, "InvalidExpandParameter", f"The value '{unknown[0]}' of $expand is invalid; {', '.join(values)} are not.")
    return {name: values[name] for name in names}


def _apply_filter(request: Request, resources: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The list as `$filter` (resource_filter) and `$top` ask for it. Raises Problem for what neither Azure nor the lab takes."""
    filter_text, top = request.query.get("$filter", "").strip(), request.query.get("$top", "")
    matching = [r for r in resources if resource_filter.matches_filter(filter_text, r)] if filter_text else resources
    if top and not (top.isdigit() and int(top) > 0):
        raise Problem(400, "InvalidTopParameter", f"The value '{top}' of $top is invalid; it is a whole number of at least 1.")
    return matching[: int(top)] if top else matching


def _find_scope(fabric: AzureState, scope: str) -> str:
    """The id of the resource at a scope. Raises Problem when there is none."""
    for resource_id in (resource_ids.group_id(), *(resource["id"] for resource in all_resources(fabric))):
        if resource_id.lower().lstrip("/") == scope.lower().strip("/"):
            return resource_id
    raise Problem(404, "ResourceNotFound", f"The Resource '{scope}' was not found.")


def _tags(fabric: AzureState, id: str) -> Answer:
    tags_resource = {"name": "default", "id": f"{id}/providers/Microsoft.Resources/tags/default", "type": "Microsoft.Resources/tags"}
    return Answer(200, {**tags_resource, "properties": {"tags": fabric.tags_of(id)}})


def get_tags(fabric: AzureState, request: Request, scope: str) -> Answer:
    """GET of the tags at any scope."""
    return _tags(fabric, _find_scope(fabric, scope))


def _tags_of(request: Request) -> dict[str, str]:
    body = request.body if isinstance(request.body, dict) else {}
    tags = (body.get("properties") or {}).get("tags")
    if not isinstance(tags, dict):
        raise Problem(400, "InvalidRequestContent", "The request has no properties.tags.")
    vms.check_tags(tags)
    return tags


def put_tags(fabric: AzureState, request: Request, scope: str) -> Answer:
    """PUT of the tags at any scope: they replace what was there."""
    id = _find_scope(fabric, scope)
    fabric.tags[id.lower()] = _tags_of(request)
    return _tags(fabric, id)


def patch_tags(fabric: AzureState, request: Request, scope: str) -> Answer:
    """operation Merge, Replace or Delete."""
    id, new_tags = _find_scope(fabric, scope), _tags_of(request)
    lower_names = {key.lower() for key in new_tags}  # tags' names are without case
    changes: dict[str, Callable[[dict[str, str]], dict[str, str]]] = {
        "merge": lambda old_tags: {**{k: v for k, v in old_tags.items() if k.lower() not in lower_names}, **new_tags},
        "replace": lambda old_tags: new_tags,
        "delete": lambda old_tags: {k: v for k, v in old_tags.items() if k.lower() not in lower_names},
    }
    change = changes.get(str((request.body or {}).get("operation", "")).lower())
    if change is None:
        raise Problem(400, "InvalidRequestContent", "operation is Merge, Replace or Delete.")
    with fabric.changing:
        fabric.tags[id.lower()] = change(fabric.tags_of(id))
    return _tags(fabric, id)


def delete_tags(fabric: AzureState, request: Request, scope: str) -> Answer:
    """DELETE of all tags at any scope."""
    fabric.tags.pop(_find_scope(fabric, scope).lower(), None)
    return Answer(200)


def retag(resource: Callable[[AzureState, str, str], dict[str, Any]]) -> Callable[..., Answer]:
    """What answers PATCH of a network resource: its tags, all at once. `resource` finds it by its group and name."""

    def answer(fabric: AzureState, request: Request, group: str, name: str) -> Answer:
        tags = request.body.get("tags") if isinstance(request.body, dict) else None
        if not isinstance(tags, dict):
            raise Problem(400, "InvalidRequestFormat", "Cannot parse the request: it has no tags.")
        vms.check_tags(tags)
        fabric.tags[resource(fabric, group, name)["id"].lower()] = tags
        return Answer(200, resource(fabric, group, name))

    return answer

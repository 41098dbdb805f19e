"""The versions of Azure's API that a cluster file asks for, put into every request. For a cloud that does not know the packages' own yet.

The URLs of long-running operations, and of further pages, come from Azure and bear the version of the request that they belong to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

RESOURCE_MANAGER = "Microsoft.Resources"  # groups, tags, deployments: what stands below no provider
_VERSION = re.compile(r"(?<=[?&])(api-version=)[^&]*", re.IGNORECASE)


def provider_of(path: str) -> str:
    """The namespace of the provider that answers a request for this path."""
    _, separator, rest = unquote(path).rpartition("/providers/")
    return rest.split("/")[0] if separator and rest else RESOURCE_MANAGER


def with_version(url: str, versions: Mapping[str, str]) -> str:
    """The same URL, with the version that is asked for of its provider; one without any is left alone. Namespaces are without case."""
    version_by_provider = {name.lower(): version for name, version in versions.items()}.get(provider_of(urlsplit(url).path).lower())
    return _VERSION.sub(lambda match: f"{match[1]}{version_by_provider}", url) if version_by_provider else url


def template_with_versions(template: Mapping[str, Any], versions: Mapping[str, str]) -> dict[str, Any]:
    """An ARM template whose resources are asked for in these versions."""
    version_by_provider = {name.lower(): version for name, version in versions.items()}
    resources = [
        {**resource, "apiVersion": version_by_provider.get(resource["type"].split("/")[0].lower(), resource["apiVersion"])}
        for resource in template["resources"]
    ]
    return {**template, "resources": resources}


def make_version_policy(versions: Mapping[str, str]) -> Any:
    """A policy of the packages' pipelines that does so with every request."""
    from azure.core.pipeline.policies import SansIOHTTPPolicy

    class ApiVersionPolicy(SansIOHTTPPolicy):
        def on_request(self, request: Any) -> None:
            request.http_request.url = with_version(request.http_request.url, versions)

    return ApiVersionPolicy()

"""A client of the stand-in's own endpoint: for tests, and for `lkharness lab azure`."""

from __future__ import annotations

import http.client
import json
import re
import ssl
from typing import Any
from urllib.parse import urlsplit

from harness.config.cluster_config import Azure
from harness.core.errors import BadUse, Unusable

REQUEST_TIMEOUT_S = 30.0


class ControlClient:
    """Switches the faults and misconfigurations of the lab behind an [azure] table, and reads what requests there were."""

    def __init__(self, azure: Azure) -> None:
        if azure.client_secret_file is None or azure.resource_manager is None or azure.ca_file is None:
            raise BadUse("this [azure] table is not one that `lkharness lab up --azure` wrote; there is no stand-in behind it")
        self._where = urlsplit(azure.resource_manager).netloc
        self._secret = azure.client_secret_file.read_text().strip()
        self._tls = ssl.create_default_context(cafile=str(azure.ca_file))

    def fault(self, kind: str, **options: Any) -> dict[str, Any]:
        """Switch a fault on; `options` are of method, path (a regular expression), times (0: for good), skip, seconds, retry_after."""
        return self._ask("POST", "faults", {"kind": kind, **options})

    def faults(self) -> dict[str, Any]:
        """`on`: those switched on, each with how many requests have `met` it; `kinds`: those there are."""
        return self._ask("GET", "faults")

    def misconfigure(self, *kinds: str) -> None:
        """Switch misconfigurations on (harness.lab.azure.state.misconfigurations)."""
        for kind in kinds:
            self._ask("POST", "misconfigurations", {"kind": kind})

    def misconfigurations(self) -> dict[str, Any]:
        """`on`: those switched on; `kinds`: those there are, with their sentences."""
        return self._ask("GET", "misconfigurations")

    def conditions(self, **settings: Any) -> dict[str, Any]:
        """What the subscription is like besides (state.subscription_conditions): unlisted, locks, one_script, events_s, …"""
        return self._ask("POST", "conditions", settings)

    def requests(self, method: str = "", path: str = "") -> list[dict[str, Any]]:
        """The requests received so far, oldest first; only those of `method` whose path matches the regular expression `path`."""
        return [
            request
            for request in self._ask("GET", "requests")
            if method in ("", request["method"]) and re.search(path, request["path"], re.IGNORECASE)
        ]

    def operations(self) -> list[dict[str, Any]]:
        """Every long-running operation since the stand-in started."""
        return self._ask("GET", "operations")

    def pace(self, **settings: float) -> dict[str, float]:
        """takes_s (the least that an operation takes), retry_after_s, token_s (the life of tokens handed out from now on)."""
        return self._ask("POST", "pace", settings)

    def clear(self) -> None:
        """Every fault, misconfiguration and condition off, and the record of requests empty. Tags, and what was done to machines, stay."""
        for collection in ("faults", "misconfigurations", "conditions", "requests"):
            self._ask("DELETE", collection)

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        """Raises BadUse with the stand-in's own words, Unusable when it does not answer."""
        connection = http.client.HTTPSConnection(self._where, context=self._tls, timeout=REQUEST_TIMEOUT_S)
        try:
            connection.request(
                method, f"/lab/{path}", json.dumps(body) if body is not None else None, {"Authorization": f"Lab {self._secret}"}
            )
            response = connection.getresponse()
            raw = response.read()
        except OSError as error:
            raise Unusable(f"the lab's Azure stand-in at {self._where} does not answer ({error}); is the lab up?") from error
        finally:
            connection.close()
        content = json.loads(raw) if raw else None
        if response.status != 200:
            raise BadUse(content["error"]["message"] if content else f"the lab's Azure stand-in answered {response.status}")
        return content

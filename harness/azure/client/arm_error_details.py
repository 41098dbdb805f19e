"""Why Azure refused or failed, in its innermost words: ARM wraps an error several times, as details within details or as JSON in a text.

Each has `code`, `message`, and sometimes `target` (a resource's id, or a property) and `details`: ARM's common error format. Anything may
be missing or of another kind; there are words for whatever comes.
"""

from __future__ import annotations

import json
import re
from typing import Any

NO_WORDS = "Azure does not say why"


def innermost_errors(error: Any, known_resource: str = "") -> str:
    """Every innermost error, with what it is about; `known_resource` is what the reader has been told already ("vm1 (virtualMachines)")."""
    return "; ".join(dict.fromkeys(_innermost(error, "", known_resource))) or NO_WORDS


def inside(error: Any) -> str:
    """The same of the details of an error of the Azure packages, with a colon before it; nothing when it has none."""
    details = getattr(getattr(error, "error", None), "details", None)
    messages = dict.fromkeys(_innermost([_as_data(d) for d in details or []], "", ""))
    return f": {'; '.join(messages)}" if messages else ""


def _as_data(parsed: Any) -> dict[str, Any]:
    """The packages' own reading of one error, as what it was read from."""
    return {
        "code": parsed.code,
        "message": parsed.message,
        "target": parsed.target,
        "details": [_as_data(d) for d in parsed.details],
    }


def _innermost(error: Any, about: str, known_resource: str) -> list[str]:
    if isinstance(error, str):
        return _of_json(error, about, known_resource) or ([" ".join(error.split())] if error.strip() else [])
    if isinstance(error, list):
        return [message for nested in error for message in _innermost(nested, about, known_resource)]
    if not isinstance(error, dict):
        return [str(error)] if error else []
    if "error" in error:
        return _innermost(error["error"], about, known_resource)
    about = named(error.get("target")) or about
    details = error.get("details")
    inner = [d for d in (details if isinstance(details, list) else [details]) if isinstance(d, dict)]
    return (
        _innermost(inner, about, known_resource)
        or _of_json(error.get("message"), about, known_resource)
        or _own_line(error, about, known_resource)
    )


def _of_json(text: Any, about: str, known_resource: str) -> list[str]:
    """Of a text that is another error as JSON."""
    if not isinstance(text, str) or not text.lstrip().startswith("{"):
        return []
    try:
        return _innermost(json.loads(text), about, known_resource)
    except ValueError:
        return []


def _own_line(error: dict[str, Any], about: str, known_resource: str) -> list[str]:
    code, message = error.get("code"), error.get("message")
    if not code and not message:
        return []
    sentence = f"{code or 'no code'}: {_plain(str(message or 'no words'))}"
    return [f"{about}: {sentence}" if about and about != known_resource else sentence]


_POLICIES = re.compile(r"\s*(?:See error details for policy resource IDs\.)?\s*Policy identifiers: '(\[.*\])'\.?", re.DOTALL)


def _plain(message: str) -> str:
    """In one line; the JSON in which a refusal by a policy lists the policies is their names."""
    if policies := _POLICIES.search(message):
        names = dict.fromkeys(re.findall(r'"name"\s*:\s*"([^"]+)"', policies[1].replace('\\"', '"')))
        message = f"{message[: policies.start()]} (policy: {', '.join(names) or 'not named'}){message[policies.end() :]}"
    return " ".join(message.split())


def named(target: Any) -> str:
    """A resource's id as its name and type; anything else as it is."""
    text = str(target or "")
    parts = text.rstrip("/").split("/")
    return f"{parts[-1]} ({parts[-2]})" if text.lower().startswith("/subscriptions/") and len(parts) > 2 else text

"""Why Azure refused or failed, in its innermost words: ARM wraps an error several times, as details within details or as JSON in a text.

Each has `code`, `message`, and sometimes `target` (a resource's id, or a property) and `details`: ARM's common error format. Anything may
be missing or of another kind; there are words for whatever comes.
"""

from __future__ import annotations

import json
import re
from typing import Any

NO_WORDS = "Azure does not say why"


def innermost_errors(said: Any, known: str = "") -> str:
    """Every innermost error, with what it is about; `known` is what the reader has been told already ("vm1 (virtualMachines)")."""
    return "; ".join(dict.fromkeys(_innermost(said, "", known))) or NO_WORDS


def inside(error: Any) -> str:
    """The same of the details of an error of the Azure packages, with a colon before it; nothing when it has none."""
    details = getattr(getattr(error, "error", None), "details", None)
    found = dict.fromkeys(_innermost([_as_data(d) for d in details or []], "", ""))
    return f": {'; '.join(found)}" if found else ""


def _as_data(parsed: Any) -> dict[str, Any]:
    """The packages' own reading of one error, as what it was read from."""
    return {
        "code": parsed.code,
        "message": parsed.message,
        "target": parsed.target,
        "details": [_as_data(d) for d in parsed.details],
    }


def _innermost(said: Any, about: str, known: str) -> list[str]:
    if isinstance(said, str):
        return _of_json(said, about, known) or ([" ".join(said.split())] if said.strip() else [])
    if isinstance(said, list):
        return [words for one in said for words in _innermost(one, about, known)]
    if not isinstance(said, dict):
        return [str(said)] if said else []
    if "error" in said:
        return _innermost(said["error"], about, known)
    about = named(said.get("target")) or about
    details = said.get("details")
    inner = [d for d in (details if isinstance(details, list) else [details]) if isinstance(d, dict)]
    return _innermost(inner, about, known) or _of_json(said.get("message"), about, known) or _own_line(said, about, known)


def _of_json(text: Any, about: str, known: str) -> list[str]:
    """Of a text that is another error as JSON."""
    if not isinstance(text, str) or not text.lstrip().startswith("{"):
        return []
    try:
        return _innermost(json.loads(text), about, known)
    except ValueError:
        return []


def _own_line(said: dict[str, Any], about: str, known: str) -> list[str]:
    code, message = said.get("code"), said.get("message")
    if not code and not message:
        return []
    words = f"{code or 'no code'}: {_plain(str(message or 'no words'))}"
    return [f"{about}: {words}" if about and about != known else words]


_POLICIES = re.compile(r"\s*(?:See error details for policy resource IDs\.)?\s*Policy identifiers: '(\[.*\])'\.?", re.DOTALL)


def _plain(message: str) -> str:
    """In one line; the JSON in which a refusal by a policy lists the policies is their names."""
    if found := _POLICIES.search(message):
        names = dict.fromkeys(re.findall(r'"name"\s*:\s*"([^"]+)"', found[1].replace('\\"', '"')))
        message = f"{message[: found.start()]} (policy: {', '.join(names) or 'not named'}){message[found.end() :]}"
    return " ".join(message.split())


def named(target: Any) -> str:
    """A resource's id as its name and type; anything else as it is."""
    text = str(target or "")
    parts = text.rstrip("/").split("/")
    return f"{parts[-1]} ({parts[-2]})" if text.lower().startswith("/subscriptions/") and len(parts) > 2 else text

"""The settings of a service in the cluster file, checked by its kind. Secrets are read at the last moment and never shown."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from harness.errors import BadUse


class Secret:
    """A password that prints as stars. `reveal` is called where it is used, in the same expression."""

    def __init__(self, value: str) -> None:
        self._value = value

    def __repr__(self) -> str:
        return "Secret('***')"

    __str__ = __repr__

    def __reduce__(self) -> str:
        raise TypeError("a secret is not written anywhere")

    def reveal(self) -> str:
        return self._value


def only_known(settings: Mapping[str, str], kind: str, known: set[str]) -> None:
    """Raise BadUse for settings that the kind does not have: a misspelt one would silently do nothing."""
    unknown = sorted(set(settings) - known)
    if unknown:
        raise BadUse(f"services of kind {kind} have no setting {', '.join(unknown)}; known: {', '.join(sorted(known))}")


def pattern(settings: Mapping[str, str], key: str, *, groups: set[str]) -> re.Pattern[str] | None:
    """The regular expression that a setting holds, None when it is not set. It may have only the named groups given."""
    if key not in settings:
        return None
    try:
        found = re.compile(settings[key])
    except re.error as error:
        raise BadUse(f"setting {key} = {settings[key]!r} is not a regular expression: {error}") from error
    unknown = sorted(set(found.groupindex) - groups)
    if unknown:
        raise BadUse(f"setting {key}: the group {unknown[0]} means nothing here; use {', '.join(sorted(groups))}")
    return found


def whole_number(settings: Mapping[str, str], key: str, default: int) -> int:
    value = settings.get(key, str(default))
    if not value.isdigit():
        raise BadUse(f"setting {key} = {value!r} is not a whole number")
    return int(value)


def password(settings: Mapping[str, str]) -> Secret | None:
    """The password from `password_file` (its first line) or the environment variable that `password_env` names."""
    if "password_file" in settings and "password_env" in settings:
        raise BadUse("settings password_file and password_env are both given; keep one")
    if "password_file" in settings:
        path = Path(settings["password_file"]).expanduser()
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise BadUse(f"password_file {path} cannot be read: {error.strerror}") from error
        if not lines or not lines[0]:
            raise BadUse(f"password_file {path} is empty; its first line must be the password")
        return Secret(lines[0])
    if "password_env" in settings:
        name = settings["password_env"]
        if not os.environ.get(name):
            raise BadUse(f"password_env names the environment variable {name}, which is not set")
        return Secret(os.environ[name])
    return None

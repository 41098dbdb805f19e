"""The settings of a service in the cluster file, checked by its kind. Secrets are read at the last moment and never shown."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence

from harness.core.errors import BadUse, Inconclusive
from harness.core.files import expand_user
from harness.core.redaction import read_secrets

WITHHELD = "(withheld)"  # in the place of settings that nobody has agreed to; its value is the first one's name
HOST_NAME = re.compile(r"(?=.{1,253}$)[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?")
PASSWORD_COMMAND_TIMEOUT_S = 15.0  # for password_command to print it

_password_lock = threading.Lock()
_passwords: dict[str, Secret] = {}  # what each password_command said in this process


class NotAgreed(Inconclusive):
    """The cluster file says where a secret is, and nobody has agreed to that file yet."""


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
        """The secret itself, for the service that it is meant for."""
        return self._value


def only_known(settings: Mapping[str, str], kind: str, known_names: set[str]) -> None:
    """Raise BadUse for settings that the kind does not have: a misspelt one would silently do nothing."""
    unknown = sorted(set(settings) - known_names - {WITHHELD})
    if "password" in unknown and "password_file" in known_names:
        raise BadUse("a password is not written into the cluster file; use password_file, password_env or password_command")
    if unknown:
        raise BadUse(f"services of kind {kind} have no setting {', '.join(unknown)}; known: {', '.join(sorted(known_names))}")


def names_asked_for(settings: Mapping[str, str]) -> dict[str, str]:
    """The names by which clients call the service, each with the setting that has it; no addresses, and no port."""
    names: dict[str, str] = {}
    for key in ("host_header", "certificate_name"):
        name = re.sub(r":\d{1,5}$", "", settings.get(key, ""))
        if HOST_NAME.fullmatch(name) and not name.replace(".", "").isdigit():
            names.setdefault(name, key)
    return names


def pattern(settings: Mapping[str, str], key: str, *, groups: set[str]) -> re.Pattern[str] | None:
    """The regular expression that a setting holds, None when it is not set. It may have only the named groups given."""
    if key not in settings:
        return None
    try:
        expression = re.compile(settings[key])
    except re.error as error:
        raise BadUse(f"setting {key} = {settings[key]!r} is not a regular expression: {error}") from error
    unknown = sorted(set(expression.groupindex) - groups)
    if unknown:
        raise BadUse(f"setting {key}: the group {unknown[0]} means nothing here; use {', '.join(sorted(groups))}")
    return expression


def whole_number(settings: Mapping[str, str], key: str, default: int) -> int:
    """A setting as a whole number; raises BadUse."""
    value = settings.get(key, str(default))
    if not value.isdigit():
        raise BadUse(f"setting {key} = {value!r} is not a whole number")
    return int(value)


def seconds(settings: Mapping[str, str], key: str, default: float) -> float:
    """A positive number of seconds."""
    try:
        value = float(settings.get(key, default))
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise BadUse(f"setting {key} = {settings[key]!r} is not a number of seconds above 0")
    return value


def one_of(settings: Mapping[str, str], key: str, choices: Sequence[str]) -> str:
    """One of these words, or nothing where the setting is not there."""
    value = settings.get(key, "")
    if value and value not in choices:
        raise BadUse(f"setting {key} = {value!r} is not {' or '.join(choices)}")
    return value


def password(settings: Mapping[str, str]) -> Secret | None:
    """The password from `password_file` (its first line), the environment variable that `password_env` names, or the first line that
    `password_command` prints on this machine. Raises NotAgreed, BadUse."""
    if WITHHELD in settings:
        raise NotAgreed("what the cluster file says of this service's secret was left out, because nobody has agreed to that file")
    sources = [source for source in SOURCES if source in settings]
    if len(sources) > 1:
        raise BadUse(f"settings {' and '.join(sources)} are both given; keep one")
    return SOURCES[sources[0]](settings[sources[0]]) if sources else None


def _read_file(file_name: str) -> Secret:
    path = expand_user(file_name)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise BadUse(f"password_file {path} cannot be read: {error.strerror}") from error
    if not lines or not lines[0]:
        raise BadUse(f"password_file {path} is empty; its first line must be the password")
    return Secret(read_secrets.tell(lines[0]))


def _read_variable(name: str) -> Secret:
    if not os.environ.get(name):
        raise BadUse(f"password_env names the environment variable {name}, which is not set")
    return Secret(os.environ[name])


def _read_command(line: str) -> Secret:
    """Asked once in a run: a vault takes its time, and may ask a person. What it printed is never quoted."""
    with _password_lock:
        if line not in _passwords:
            _passwords[line] = _run_command(line)
            read_secrets.tell(_passwords[line].reveal())
        return _passwords[line]


def _run_command(line: str) -> Secret:
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise BadUse(
            f"password_command cannot be read as words ({error}); it is a program with its arguments, and no shell runs it"
        ) from None
    if not words:
        raise BadUse("password_command is empty; give a program with its arguments")
    program = f"password_command: `{words[0]}`"  # its arguments may be secret themselves
    try:
        completed = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=PASSWORD_COMMAND_TIMEOUT_S)
    except OSError as error:
        raise BadUse(f"{program} cannot be started on this machine: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise BadUse(f"{program} did not end within {PASSWORD_COMMAND_TIMEOUT_S:g} s; does it wait for somebody to answer it?") from None
    lines = completed.stdout.decode("utf-8", "replace").splitlines()
    if completed.returncode != 0:
        raise BadUse(f"{program} exited {completed.returncode}; run it by hand to see what it says, which is not shown here")
    if not lines or not lines[0]:
        raise BadUse(f"{program} printed nothing; its first line must be the password")
    return Secret(lines[0])


SOURCES: dict[str, Callable[[str], Secret]] = {
    "password_file": _read_file,
    "password_env": _read_variable,
    "password_command": _read_command,
}

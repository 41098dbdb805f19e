"""Which values of a cluster file and of this machine must not get into a bundle, and the file without them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.at_home import at_home
from harness.collect.redact import GONE, Redactor, secret_words, sensitive
from harness.errors import BadUse
from harness.model import Cluster
from harness.services import settings as given

READ_AT_MOST = 64 * 1024  # bytes of a file that holds a secret
PROSE = ("true", "false", "none", "null", "yes", "no")  # values of secret-looking variables that are no secrets


def known_secrets(cluster: Cluster, data: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> tuple[set[str], list[str]]:
    """Every secret that the cluster file leads to and that this machine's environment names; and what could not be looked up, as sentences.

    `data` is the file's content as it was written, `cluster` the same with absolute paths.
    """
    environment = os.environ if environment is None else environment
    found = set(_written_out(data))
    found |= {value for name, value in environment.items() if sensitive(name) and value.lower() not in PROSE and not _is_a_place(value)}
    notes = []
    for service in cluster.services:
        for key, value in service.settings.items():
            if key.endswith("_env"):
                found |= {environment[value]} if environment.get(value) else set()
            elif key == "password_command":
                try:
                    secret_said = given.password({key: value})
                    found |= {secret_said.reveal()} if secret_said else set()
                except BadUse as error:
                    notes.append(f"services {service.name}: {error}, so that what it says could not be looked for")
            elif key.endswith("_file"):
                secret, note = _content(value, f"services {service.name}: {key}")
                found |= secret
                notes += note
    for machine in cluster.machines:
        if machine.ssh.key is not None:
            secret, note = _content(machine.ssh.key, f"{machine.name}: ssh.key")
            # A line of it is enough to give it away, but its frame is no secret.
            found |= {line for text in secret for line in text.splitlines() if line and "-----" not in line}
            notes += note
    if cluster.power:
        # A command's own words may hold a token.
        commands = [cluster.power.off, cluster.power.on, cluster.power.reboot or [], cluster.power.freeze or [], cluster.power.thaw or []]
        found |= {word for words in commands for word in secret_words(words)}
    return {value for value in found if value.strip()}, notes


def without_secrets(data: Mapping[str, Any], redactor: Redactor) -> dict[str, Any]:
    """The cluster file's content to go into a bundle: no secret, and of the power commands only the program."""
    clean = redactor.clean_data(dict(data))
    if isinstance(clean.get("power"), dict):
        clean["power"] = {
            to: [*words[:1], GONE] if isinstance(words, list) and len(words) > 1 else words for to, words in clean["power"].items()
        }
    return clean


def _written_out(data: Any, name: str = "") -> Iterator[str]:
    """Values that stand in the file itself under a name that says that they are secret."""
    if isinstance(data, Mapping):
        for key, value in data.items():
            yield from _written_out(value, str(key))
    elif isinstance(data, list):
        for value in data:
            yield from _written_out(value, name)
    elif isinstance(data, str) and sensitive(name):
        yield data


def _content(path: Path | str, place: str) -> tuple[set[str], list[str]]:
    try:
        with at_home(path).open("rb") as file:
            return {file.read(READ_AT_MOST).decode("utf-8", "replace").strip()}, []
    except (OSError, BadUse) as error:
        why = getattr(error, "strerror", None) or error
        return set(), [f"{place}: {path} cannot be read ({why}), so that what it holds could not be looked for"]


def _is_a_place(value: str) -> bool:
    """A path or a short number, such as SSH_ASKPASS or a file's name, is no secret, and would be removed all over the bundle."""
    return (value.startswith("/") and Path(value).exists()) or (value.isdigit() and len(value) < 8) or len(value) < 4

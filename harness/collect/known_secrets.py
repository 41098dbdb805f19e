"""Which values of a cluster file and of this machine must not get into a bundle, and the file without them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.config import service_settings as given
from harness.config.cluster_config import Cluster
from harness.core.errors import BadUse
from harness.core.files import expand_user, file_exists, path_exists
from harness.core.redaction.redactor import Redactor, says_how
from harness.core.redaction.secret_names import sensitive
from harness.core.redaction.secrets_in_commands import program_only, secret_words

MAX_SECRET_FILE_BYTES = 64 * 1024  # bytes of a file that holds a secret
MIN_SECRET_LENGTH = 4  # characters: a value of fewer would shred the evidence
MIN_NUMBER_DIGITS = 8  # digits
PROSE = ("true", "false", "none", "null", "yes", "no")  # values of secret-looking variables that are no secrets


def known_secrets(cluster: Cluster, data: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> tuple[set[str], list[str]]:
    """Every secret that the cluster file leads to and that this machine's environment names; and what could not be looked up, as sentences.

    `data` is the file's content as it was written, `cluster` the same with absolute paths.
    """
    environment = os.environ if environment is None else environment
    values_found = set(_written_out(data))
    for name, value in environment.items():
        if sensitive(name) and value.lower() not in PROSE and not _is_a_place(value):
            values_found |= _secrets_in(value)
        elif name.lower().endswith("_file") and sensitive(name[: -len("_file")]) and file_exists(value):
            values_found |= {
                line for text in _content(value, name)[0] for line in text.splitlines()[:1]
            }  # such as AZURE_FEDERATED_TOKEN_FILE
    notes = []
    if cluster.azure is not None and cluster.azure.client_secret_variable is not None:
        values_found |= _secrets_in(environment.get(cluster.azure.client_secret_variable, ""))
    if cluster.azure is not None and cluster.azure.client_secret_file is not None:
        secret, note = _content(cluster.azure.client_secret_file, "azure: client_secret_file")
        values_found |= {line for text in secret for line in text.splitlines()[:1]}
        notes += note
    for service in cluster.services:
        for key, value in service.settings.items():
            if key.endswith("_env"):
                values_found |= _secrets_in(environment.get(value, ""))
            elif key == "password_command":
                try:
                    secret_said = given.password({key: value})
                    values_found |= {secret_said.reveal()} if secret_said else set()
                except BadUse as error:
                    notes.append(f"services {service.name}: {error}, so that what it says could not be looked for")
            elif key.endswith("_file"):
                secret, note = _content(value, f"services {service.name}: {key}")
                # As the services read it: of a password's file the first line.
                values_found |= {line for text in secret for line in text.splitlines()[:1]} if key == "password_file" else set()
                values_found |= {word_in_text for text in secret for word_in_text in _secrets_in(text)} if key != "password_file" else set()
                notes += note
    for machine in cluster.machines:
        if machine.ssh.key is not None:
            secret, note = _content(machine.ssh.key, f"{machine.name}: ssh.key")
            # A line of it is enough to give it away, but its frame is no secret.
            values_found |= {line for text in secret for line in text.splitlines() if line and "-----" not in line}
            notes += note
    # A command's own words may hold a token.
    values_found |= {word for words in _commands(cluster) for word in secret_words(words)}
    values_found = {value for value in values_found if value.strip()}
    weak = {value for value in values_found if _is_weak(value, _words_of(cluster))}
    if weak:
        notes.append(
            f"{len(weak)} of the secrets are too short, or are names or numbers of this cluster as well, so that they were left where they "
            "stand; look for them yourself, and change them"
        )
    return values_found - weak, notes


def _commands(cluster: Cluster) -> Iterator[Sequence[str]]:
    """Every command that the cluster file names."""
    if power := cluster.power:
        yield from (words for words in (power.off, power.on, power.reboot, power.freeze, power.thaw) if words)
    if cluster.network_capture:
        yield cluster.network_capture.command
    yield cluster.manager.mirror_check
    for service in cluster.services:
        for key, command in service.settings.items():
            if key.endswith("_command"):
                yield [str(word) for word in command] if isinstance(command, list) else [str(command)]  # a line is taken apart there


def without_secrets(data: Mapping[str, Any], redactor: Redactor) -> dict[str, Any]:
    """The cluster file's content to go into a bundle: no secret, and of every command only the program."""
    clean = dict(data)
    if isinstance(clean.get("power"), dict):
        clean["power"] = {to: program_only(words) for to, words in clean["power"].items()}
    return redactor.clean_data(_without_arguments(clean))


def _without_arguments(data: Any, name: str = "") -> Any:
    if name.endswith("command") or name == "mirror_check":
        return program_only(data)
    if isinstance(data, Mapping):
        return {key: _without_arguments(value, str(key)) for key, value in data.items()}
    return [_without_arguments(value) for value in data] if isinstance(data, list) else data


def _secrets_in(text: str) -> set[str]:
    """Of a JSON document the values under secret names, of anything else the whole."""
    try:
        document = json.loads(text) if text.lstrip()[:1] in ("{", "[") else None
    except (ValueError, RecursionError):
        document = None
    return ({text} if text else set()) if document is None else set(_written_out(document))


def _words_of(cluster: Cluster) -> set[str]:
    """Names, tags, kinds and addresses of the cluster: what the evidence is about."""
    machines, services = cluster.machines, cluster.services
    return {
        *(word for m in machines for word in (m.name, str(m.address), m.ssh.user)),
        *(word for s in services for word in (s.name, s.tag, s.kind, s.settings.get("user", ""), s.settings.get("dbname", ""))),
        *(cluster.name, cluster.manager.resource, cluster.ip_resource.tag, str(cluster.vip), cluster.manager.kind),
    }


def _is_weak(value: str, words: set[str]) -> bool:
    value = value.strip()
    return len(value) < MIN_SECRET_LENGTH or (value.isdigit() and len(value) < MIN_NUMBER_DIGITS) or value in words


def _written_out(data: Any, name: str = "") -> Iterator[str]:
    """Values that stand in the file itself under a name that says that they are secret."""
    if isinstance(data, Mapping):
        for key, value in data.items():
            yield from _written_out(value, str(key))
    elif isinstance(data, list):
        for value in data:
            yield from _written_out(value, name)
    elif isinstance(data, str) and sensitive(name) and not says_how(name, data):
        yield data


def _content(path: Path | str, place: str) -> tuple[set[str], list[str]]:
    try:
        with expand_user(path).open("rb") as file:
            return {file.read(MAX_SECRET_FILE_BYTES).decode("utf-8", "replace").strip()}, []
    except (OSError, BadUse) as error:
        why = getattr(error, "strerror", None) or error
        return set(), [f"{place}: {path} cannot be read ({why}), so that what it holds could not be looked for"]


def _is_a_place(value: str) -> bool:
    """A path or a short number, such as SSH_ASKPASS or a file's name, is no secret, and would be removed all over the bundle."""
    return (
        (value.startswith("/") and path_exists(value))
        or (value.isdigit() and len(value) < MIN_NUMBER_DIGITS)
        or len(value) < MIN_SECRET_LENGTH
    )

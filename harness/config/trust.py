"""Whose word a cluster file is: what it asks of this machine, and whether a person has agreed to exactly that content.

A file may come from anybody. Until somebody who may says so once, by the file's hash, no program that it names is run, no secret that it
names is read, and nobody but Azure itself gets a token. A file that asks for nothing of the kind needs no agreement.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.config.azure_config import foreign_endpoints
from harness.config.service_settings import WITHHELD
from harness.core.errors import BadUse, Unusable
from harness.core.files import others_may_write, own_uid
from harness.core.redaction.secrets_in_commands import program_only
from harness.core.text.host_text import one_line

if TYPE_CHECKING:
    from harness.config.cluster_config import Cluster

OPTION = "--trust-cluster-file"
ASKING = ("_command", "_env", "_file")  # how the names of settings end that run a program, or say where a secret is


def trust_requests(data: Mapping[str, Any], *, with_arguments: bool = False) -> list[str]:
    """What a cluster file's content asks of this machine, a sentence each. `with_arguments`: with those of commands, for the person
    who is to look through them now; they may be secrets, and what is kept or sent on has the program only."""
    services, show = data.get("services"), _words if with_arguments else _program
    mirror_check = _table(data.get("manager")).get("mirror_check")
    capture = _table(data.get("network_capture")).get("command")
    return [
        *(ask for service in (services if isinstance(services, list) else []) for ask in _service_requests(service, show)),
        *([f"manager.mirror_check runs `{show(mirror_check)}` on a node"] if mirror_check else []),
        *(f"power.{to} runs `{show(words)}` on this machine" for to, words in _table(data.get("power")).items()),
        *([f"network_capture.command runs `{show(capture)}` on this machine"] if capture else []),
        *azure_requests(_table(data.get("azure"))),
    ]


def azure_requests(table: Mapping[str, Any]) -> list[str]:
    """What an [azure] table asks for; nothing when it only logs in to Azure itself as this machine does anyhow."""
    requests = [
        f"azure.{key} sends tokens or secrets to {one_line(str(host))}, which is not Azure's"
        for key, host in foreign_endpoints(table).items()
    ]
    request_by_setting = {
        "client_secret_file": "reads the first line of {}",
        "client_secret_variable": "reads the environment variable {}",
        "ca_file": "believes whoever {} vouches for",
    }
    # What is neither words nor a path is a fault of the file, which says so itself.
    requests += [
        f"azure.{key} {request.format(one_line(str(table[key])))}"
        for key, request in request_by_setting.items()
        if isinstance(table.get(key), str | Path)
    ]
    return requests


def is_agreed(content: bytes) -> bool:
    """Has this user agreed to this content? What others could have put there does not count."""
    try:
        agreement = _agreements_folder() / _hash(content)
        return all(_is_ours(path) for path in (agreement.parent, agreement))
    except OSError:
        return False


def agree(content: bytes, file: Path) -> None:
    """Remember that this user agrees to this content. Raises Unusable."""
    folder = _agreements_folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_ours(folder):
            raise Unusable(f"{folder} is not yours alone, so that nothing can be remembered there; remove it, or give {OPTION} each time")
        (folder / _hash(content)).write_text(f"{file.resolve()}\n", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        reason = f"{error.strerror}; set XDG_STATE_HOME to a folder that you can write to, or give {OPTION} each time"
        raise Unusable(f"{folder}: the agreement cannot be remembered there ({reason})") from error


def agree_to_own(file: Path) -> None:
    """Agree to a file that the harness itself wrote just now. Where that cannot be remembered, the file's reader says what to do."""
    try:
        agree(file.read_bytes(), file)
    except (OSError, Unusable):
        return


def withhold(cluster: Cluster, requests: list[str]) -> Cluster:
    """The cluster without anything that the file asks for; `left_out` says what that is."""
    services = []
    for service in cluster.services:
        kept_settings = {key: value for key, value in service.settings.items() if not key.endswith(ASKING)}
        withheld_keys = [key for key in service.settings if key not in kept_settings]
        services.append(service.model_copy(update={"settings": kept_settings | {WITHHELD: withheld_keys[0]}}) if withheld_keys else service)
    azure = cluster.azure and (None if azure_requests(cluster.azure.model_dump()) else cluster.azure)
    manager = cluster.manager.model_copy(update={"mirror_check": []})
    reduced = cluster.model_copy(update={"services": services, "azure": azure, "power": None, "network_capture": None, "manager": manager})
    return reduced.that_leaves_out(requests)


def demand(cluster: Cluster, file: Path | str) -> None:
    """Raises BadUse when something of the file was left out, for what cannot do without."""
    if cluster.left_out:
        raise BadUse(refusal(list(cluster.left_out), file))


def refusal(requests: list[str], file: Path | str, *, once: bool = True) -> str:
    """The sentence that says why a file is not used as it is, and what to do; `once`: the verb has OPTION."""
    return f"{file} asks for what nobody has agreed to: {'; '.join(requests)}; {what_to_do(file, once=once)}"


def what_to_do(file: Path | str, *, once: bool = True) -> str:
    """How a person agrees to a cluster file, as part of a sentence."""
    return f"look through it, then agree with `lkharness trust {shlex.quote(str(file))}`{f', or for once with {OPTION}' if once else ''}"


def may_be_agreed_to(file: Path) -> None:
    """Raises BadUse for a file that others can change between the look through it and its use."""
    try:
        file_stat = file.stat()
    except OSError as error:
        raise BadUse(f"{file}: cannot be read ({error.strerror}); give the path of a cluster file") from error
    if file_stat.st_uid not in (0, own_uid()):
        raise BadUse(
            f"{file} belongs to another user (uid {file_stat.st_uid}); make a copy of your own, look through it, and agree to that"
        )
    if others_may_write(file_stat):
        raise BadUse(f"{file} can be written by others; take that away with `chmod go-w {shlex.quote(str(file))}`, and look through it")


def _service_requests(service: Any, show: Callable[[Any], str]) -> Iterator[str]:
    name = one_line(str(_table(service).get("name", "?")))
    for key, value in _table(_table(service).get("settings")).items():
        if key.endswith("_command"):
            yield f"services {name}: {one_line(key)} runs `{show(value)}` on this machine"
        elif key.endswith("_env"):
            yield f"services {name}: {one_line(key)} reads the environment variable {one_line(str(value))}"
        elif key.endswith("_file"):
            yield f"services {name}: {one_line(key)} reads the file {one_line(str(value))}"


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _words(value: Any) -> str:
    return one_line(shlex.join(map(str, value)) if isinstance(value, list) else str(value))


def _program(value: Any) -> str:
    program_words = program_only(value)
    return one_line(" ".join(map(str, program_words)) if isinstance(program_words, list) else str(program_words))


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _agreements_folder() -> Path:
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
    return Path(base) / "lkharness" / "agreed"


def _is_ours(path: Path) -> bool:
    path_stat = path.lstat()
    return path_stat.st_uid == own_uid() and not others_may_write(path_stat) and not stat.S_ISLNK(path_stat.st_mode)

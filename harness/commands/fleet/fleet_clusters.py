"""The clusters of a fleet: which file is which, under a name that is the same every night, and which of them are on this machine."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from harness.core.errors import BadUse

COMMANDS = ("failover", "acceptance", "check")
"""What a fleet can run."""
FLEETS_OWN = ("--cluster", "--reports", "--json", "--run-file")
"""Options of theirs that the fleet gives each itself, or that are of one run."""


@dataclass(frozen=True)
class Member:
    """A cluster of a fleet. `index` counts from 0, as the jobs of an Indexed Job do; `name` is its folder's."""

    index: int
    cluster: str
    name: str


def members_of(files: Sequence[str]) -> list[Member]:
    """The members in the order of their files, each named after its file, with as many folders before it as it takes to tell it from the
    others. Raises BadUse for a file that is given twice, and for names that stay the same."""
    twice = next((file for file, number in Counter(Path(file).resolve() for file in files).items() if number > 1), None)
    if twice is not None:
        raise BadUse(f"{twice}: is given twice; a cluster can be under test once at a time")
    return [
        Member(index, file, name)
        for index, (file, name) in enumerate(zip(files, _names([Path(file).absolute() for file in files]), strict=True))
    ]


def _names(files: Sequence[Path]) -> list[str]:
    depths = [1] * len(files)
    while True:
        names = [_name(file, depth) for file, depth in zip(files, depths, strict=True)]
        number = Counter(name.lower() for name in names)  # folders of some systems do not tell A from a
        same = [place for place, name in enumerate(names) if number[name.lower()] > 1]
        if not same:
            return names
        for place in same:
            depths[place] += 1
            if depths[place] > len(files[place].parts):
                raise BadUse(f"{files[place]}: has the same name as another cluster file ({names[place]}); rename one")


def _name(file: Path, depth: int) -> str:
    """The last `depth` parts of its path, without the suffix, safe as a folder's name."""
    parts = [*file.parent.parts, file.stem][-depth:]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(parts)).strip("-.") or "cluster"


def matrix(members: Sequence[Member], planned: str) -> dict[str, Any]:
    """What a CI matrix or an Indexed Job is made of, and when that was, in ISO 8601 with its zone: older runs are of another night."""
    return {"planned": planned, "include": [asdict(member) for member in members]}


def planned_in(data: Any) -> datetime | None:
    """When `matrix` wrote it; None where it does not say, as those of before. Raises BadUse."""
    if not isinstance(data, dict) or "planned" not in data:
        return None
    try:
        planned = datetime.fromisoformat(data["planned"])
    except (TypeError, ValueError):
        planned = None
    if planned is None or planned.tzinfo is None:
        raise BadUse("it is not what `lkharness fleet matrix --json` prints; make it again")
    return planned


def members_in(data: Any) -> list[Member]:
    """The members that `matrix` wrote. Raises BadUse."""
    try:
        return [Member(int(row["index"]), str(row["cluster"]), str(row["name"])) for row in data["include"]]
    except (KeyError, TypeError, ValueError):
        raise BadUse("it is not what `lkharness fleet matrix --json` prints; make it again") from None


def words_for(member: Member, command: Sequence[str], reports: Path) -> list[str]:
    """What is run for one member: the command with its cluster file and, for a suite, its folder of runs. Raises BadUse."""
    if not command:
        raise BadUse("what shall be run is not said; write it behind --, such as: lkharness fleet clusters/*.toml -- failover")
    name, *more = command
    if name not in COMMANDS:
        raise BadUse(f"{name!r} cannot be run on a fleet; behind -- stands one of {', '.join(COMMANDS)}")
    reserved_option = next((option for option in FLEETS_OWN if any(word == option or word.startswith(f"{option}=") for word in more)), None)
    if reserved_option is not None:
        raise BadUse(
            f"{reserved_option} cannot stand behind --, because every cluster is given its own; write it before --, where there is one"
        )
    return [name, "--cluster", member.cluster, *(["--reports", str(reports / member.name)] if name != "check" else []), *more]


def leaves_run(command: Sequence[str]) -> bool:
    """Whether each must leave a run: `check` and a dry run make none."""
    return command[0] != "check" and "--dry-run" not in command


def is_here(file: Path) -> bool:
    """Are the cluster's nodes on this machine, as a lab's are: reached through its loopback? Not of a file that cannot be read: its own run
    says what is wrong with it."""
    try:
        nodes = tomllib.loads(file.read_text(encoding="utf-8"))["nodes"]
        hosts = [node["ssh"]["host"] for node in nodes if "jump" not in node["ssh"]]
    except (OSError, ValueError, RecursionError, LookupError, TypeError):
        return False
    return any(map(_is_loopback, hosts))


def is_something_else(file: Path) -> bool:
    """Has the file tables, and no nodes among them, as gate.toml has? An empty or damaged one may be meant for a cluster: its own run says
    what is wrong with it."""
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return bool(data) and "nodes" not in data


def _is_loopback(host: object) -> bool:
    try:
        return host == "localhost" or (isinstance(host, str) and ip_address(host).is_loopback)
    except ValueError:
        return False

"""What a case is, how it is read, and the judgement on an answer to it. Pure."""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "faults"
LOUD = ("fault", "certain", "likely")
COUNTED = re.compile(r"\d+ times(?= in the last)")  # and goes on between the two looks
KEYS = {"name", "fault", "lab", "settings", "asked_with", "make", "proof", "names", "also", "never", "code", "quiet", "fleeting"}


@dataclass(frozen=True)
class Case:
    """One fault. `lab` are words for `lab up`, `settings` and what else its file has; `asked_with` replaces in the file that the harness
    is given: what somebody believes. `make` and `proof` are lines `HOST: COMMAND` (tests/cases/case_lab.py says which others).

    `names` are regular expressions that one cause or finding must match, all of them; `also` those of another one, where two things are
    at fault at once; `never` what none may match; `quiet`: a control.
    `code`: the exit code, where a fault that is named does not make the check fail. `fleeting`: it is another thing at each moment, so that
    it may be whole when it is looked at, and a bundle, which is made at another moment, may say otherwise.
    """

    name: str
    family: str
    fault: str
    lab: tuple[str, ...] = ()
    settings: str = ""
    asked_with: tuple[tuple[str, str], ...] = ()
    make: tuple[str, ...] = ()
    proof: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    code: int | None = None
    quiet: bool = False
    fleeting: bool = False


@dataclass(frozen=True)
class Result:
    """NAMED, SYMPTOM (something failed, and nothing names it), MISSED (all green) or WRONG (it misleads, or a control is not quiet).

    `by` is what named it, a cause or a finding; `says` its sentence. `offline`: what the cluster's bundle says otherwise. `suite`: the same
    word for the acceptance suite, only reading, on the same lab, empty where it was not run; `suite_fails`: which of its tests and audits
    did not pass.
    """

    verdict: str
    by: str = ""
    says: str = ""
    offline: tuple[str, ...] = ()
    suite: str = ""
    suite_fails: tuple[str, ...] = ()


@cache
def all_cases() -> tuple[Case, ...]:
    return tuple(case for path in sorted(FOLDER.glob("*.toml")) for case in read(path))


def read(path: Path) -> Iterator[Case]:
    """The cases of one file, whose name is their family. Raises ValueError for a key that is none."""
    for data in tomllib.loads(path.read_text())["case"]:
        if unknown := set(data) - KEYS:
            raise ValueError(f"{path.name}: {data.get('name')}: {', '.join(sorted(unknown))}")
        lists = {key: tuple(data.get(key, ())) for key in ("make", "proof", "names", "also", "never")}
        rest = {key: data[key] for key in ("settings", "code", "quiet", "fleeting") if key in data}
        replaced = tuple((old, new) for old, new in data.get("asked_with", ()))
        lab = tuple(data.get("lab", "").split())
        yield Case(data["name"], path.stem, data["fault"], lab=lab, asked_with=replaced, **lists, **rest)


def judge(case: Case, answer: Mapping[str, Any], code: int) -> Result:
    told = [*_told(answer)]
    texts = [(by, says, json.dumps(one, ensure_ascii=False)) for by, says, one in told]
    for pattern in case.never:
        for by, says, text in texts:
            if re.search(pattern, text, re.IGNORECASE):
                return Result("WRONG", by, says)
    loud = [(by, says) for by, says, one in told if one.get("weight", one.get("certainty")) in LOUD]
    if case.quiet:
        return Result("WRONG", *(loud or [("exit code", str(code))])[0]) if loud or code else Result("NAMED", "nothing", "nothing is found")
    by_also = [says for _, says, text in texts if all(re.search(pattern, text, re.IGNORECASE) for pattern in case.also)]
    for by, says, text in texts if by_also or not case.also else ():
        if all(re.search(pattern, text, re.IGNORECASE) for pattern in case.names):
            right = code == case.code if case.code is not None else code != 0
            return Result("NAMED" if right else "MISSED", by, says)
    return Result("SYMPTOM" if code else "MISSED", "", " | ".join(f"{by}: {says}" for by, says in loud))


def judge_suite(case: Case, run: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """The same judgement on the run.json of an acceptance run; what it is to say is the cause, whatever its exit code, or why there was
    nothing to test. And what failed."""
    code, passed = run["exit_code"], run["verdict"].get("outcome") == "pass"  # whose reason is what was only read
    reason = "" if passed else run["verdict"].get("reason", "")
    reasons = [{"host": "the run", "what": "verdict", "says": reason, "weight": "fault"}] if reason else []
    word = judge(case if case.quiet else replace(case, code=code), {"causes": run["causes"], "findings": reasons}, code).verdict
    tests = [(one["id"].rpartition("::")[2].partition("[")[0], one) for one in run["tests"]]
    audits = [(f"audit: {one['name']}", one) for one in run["audits"]]
    failed = Counter(name for name, one in (*tests, *audits) if one["verdict"]["outcome"] not in ("pass", "skip"))
    return word, tuple(f"{name} × {number}" if number > 1 else name for name, number in failed.items())


def differences(live: Mapping[str, Any], offline: Mapping[str, Any]) -> list[str]:
    """What a look at the cluster and one at its bundle say differently: causes that only one of them has. What is possible only is left
    out: it may hang on how busy a host was."""
    ours, theirs = (
        {(c["host"], COUNTED.sub("N times", c["says"])) for c in answer.get("causes", ()) if c["certainty"] in LOUD}
        for answer in (live, offline)
    )
    only_live, only_offline = ours - theirs, theirs - ours
    return [f"only live: {h}: {s}" for h, s in sorted(only_live)] + [f"only offline: {h}: {s}" for h, s in sorted(only_offline)]


def _told(answer: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Causes first, then findings, each with what it is, its sentence and all of it."""
    for cause in answer.get("causes", ()):
        yield f"cause, {cause['certainty']}", f"{cause['host']}: {cause['says']}", cause
    for finding in answer.get("findings", ()):
        yield f"finding, {finding['what']}", f"{finding['host']}: {finding['says']}", finding

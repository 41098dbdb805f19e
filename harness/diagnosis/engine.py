"""The diagnosis: every rule is asked, and what they say is put in order, best first, with the symptoms under their cause. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import import_module
from pkgutil import walk_packages

from harness.core.finding import Finding, Weight
from harness.diagnosis import rules
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence

Rule = Callable[[Evidence], Iterable[Cause]]
SYMPTOMS = {"communication path", "route to the VIP"}  # what follows from something else, and names no cause


@dataclass(frozen=True)
class Diagnosis:
    """`under` has for each cause, by its place, the symptoms that follow from it; `rest` those that no cause explains."""

    causes: tuple[Cause, ...] = ()
    under: tuple[tuple[str, ...], ...] = ()
    rest: tuple[str, ...] = ()


def all_rules() -> list[Rule]:
    """The function `causes` of every module below `rules`, in the order of the files' own names: a rule is added by adding a file."""
    names = [m.name for m in walk_packages(rules.__path__, f"{rules.__name__}.") if not m.ispkg]
    return [import_module(name).causes for name in sorted(names, key=lambda name: name.rpartition(".")[2])]


def diagnose(evidence: Evidence) -> Diagnosis:
    """Of several causes that say the same the first is kept; what stands under a better cause is not told again."""
    candidates = [cause for rule in all_rules() for cause in rule(evidence)]
    candidates += _promote_findings(evidence, candidates)
    symptoms = _symptoms(evidence)
    order = sorted(candidates, key=lambda c: (c.general, c.certainty.rank, -len(_symptoms_of(c, symptoms))))
    causes: list[Cause] = []
    under: list[tuple[str, ...]] = []
    unexplained = list(symptoms)
    for cause in order:
        explained = _symptoms_of(cause, unexplained)
        if cause.general and not explained:
            continue
        if any((c.host, c.says) == (cause.host, cause.says) for c in causes):
            continue
        causes.append(cause)
        under.append(explained)
        unexplained = [s for s in unexplained if s not in explained]
    # A special cause that is no fault may have what a general one explains; but what is no fault is told last.
    best = sorted(zip(causes, under, strict=True), key=lambda pair: not pair[0].is_fault)
    return Diagnosis(tuple(c for c, _ in best), tuple(u for _, u in best), tuple(unexplained))


def _symptoms_of(cause: Cause, symptoms: Iterable[str]) -> tuple[str, ...]:
    return tuple(s for s in symptoms if any(fnmatchcase(s, pattern) for pattern in cause.explains))


def _symptoms(evidence: Evidence) -> list[str]:
    path_names = [p.name for p in evidence.failed]
    return list(dict.fromkeys([*path_names, *(name(f) for f in evidence.findings if f.weight is Weight.FAULT)]))


def name(finding: Finding) -> str:
    """As causes name it in `explains`."""
    return f"{finding.host}:{finding.what}"


def _promote_findings(evidence: Evidence, causes: list[Cause]) -> Iterator[Cause]:
    """A finding that names what is wrong by itself is a cause, where no rule has said it better."""
    explained = [pattern for cause in causes for pattern in cause.explains if ":" in pattern]
    for finding in evidence.findings:
        if finding.weight is not Weight.FAULT or any(fnmatchcase(name(finding), p) for p in explained):
            continue
        facts = (f"facts {', '.join(finding.facts)}",) if finding.facts else ()
        by_itself = finding.what not in SYMPTOMS
        certainty = Certainty.CERTAIN if by_itself else Certainty.LIKELY
        explains = (name(finding), *_paths_of(evidence, finding))
        yield Cause(f"{finding.what}: {finding.says}", finding.host, certainty, finding.do, facts, explains=explains, general=not by_itself)


def _paths_of(evidence: Evidence, finding: Finding) -> tuple[str, ...]:
    """Which paths follow from what was found on the active node: those of the service that it names, else all."""
    if finding.host != evidence.active:
        return ()
    services = [s.name for s in evidence.cluster.services if finding.what == f"listener of {s.name}"]
    if services:
        return tuple(f"*/{s}" for s in services)
    if finding.what == "probe port":
        return ("client/*", "standby/*")
    return ("*/*",) if finding.what == "VIP" else ()

"""The sum that a budget comes from, read back from its words (`outage_budget.Allowance.because`). Pure; no text makes it raise."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

TERM = re.compile(r"(?P<name>\S[^+]{0,80}?) (?:(?P<times>\d{1,6}) × )?(?P<each>\d{1,9}(?:\.\d{1,9})?)(?: s)?")
MAX_TERMS = 20


class Term(NamedTuple):
    """A part of a budget: `times` × `each` seconds."""

    name: str
    times: int
    each: float

    @property
    def seconds(self) -> float:
        """How much of the budget the term stands for."""
        return self.times * self.each


# Which phases a term is meant for; a budget has no term of its own for how a database recovers unless the cluster file gives one.
NOTICING = (
    "until Azure had done it",
    "heartbeats missed",
    "check interval",
    "check and end of what hangs",
    "HC_TIMEOUT",
    "loser's check",
    "loser's probe-down",
)
SHARES: Mapping[tuple[str, ...], tuple[str, ...]] = {
    ("noticed",): NOTICING,
    ("stopped", "vip moved", "service up", "database ready"): ("takeover", "database recovery", "boot"),
    ("probe answered",): ("first probe",),
    ("balancer switched",): ("probe-up", "probe verdict"),
}


def terms(because: str) -> dict[str, Term]:
    """By their names, in their order; empty where the words are no sum, such as a budget that was given by hand."""
    terms_by_name: dict[str, Term] = {}
    for part in because.split(" + ")[:MAX_TERMS]:
        term = TERM.fullmatch(part.strip())
        if term is None:
            return {}
        terms_by_name[term["name"]] = Term(term["name"], int(term["times"] or 1), float(term["each"]))
    return terms_by_name


def share(phase: str, budget_terms: Mapping[str, Term]) -> tuple[tuple[str, ...], float] | None:
    """The phases that share a part of the budget with this one, and how many seconds that part has; None where it has none."""
    for phases, names in SHARES.items():
        term_seconds = [budget_terms[name].seconds for name in names if name in budget_terms]
        if phase in phases and term_seconds:
            return phases, sum(term_seconds)
    return None

"""One exchange of full-sized segments over a path whose small ones pass: an MTU black hole lets every small exchange through."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.cluster.path_exchange import ask_over_the_path
from harness.config.cluster_config import Service
from harness.core.errors import DeadlineExceeded
from harness.core.verdict import Verdict, failed, inconclusive, passed
from harness.services import service_registry
from harness.services.service_kind import FillsSegments, NotTheService, WrongAnswer

FULL_TIMEOUT_S = 1.5  # for three retransmissions of what is lost
SMALL_TIMEOUT_S = 5.0
SECOND_TIMEOUT_FACTOR = 4  # as long as the short exchange took, for the second long one: beside a slow service it may be slow, too


@dataclass(frozen=True)
class FullSegments:
    """`passes` is None where the service may not be asked anything long, or where it cannot be told; `says` is the sentence."""

    passes: bool | None = None
    says: str = "full-sized segments were not tried"
    slow: bool = False  # short exchanges were not answered in time, either
    wrong: str = ""  # it came through, and was answered what it should not, though the short exchange before it was answered rightly

    @property
    def verdict(self) -> Verdict:
        """What the exchange says of the path."""
        if self.passes is False or self.wrong:
            return failed(self.says)
        return inconclusive(self.says) if self.slow else passed(self.says)


NOT_ASKED = FullSegments()


def ask_in_full(subject: ClusterUnderTest, host: str, service: Service) -> FullSegments:
    """Of a service that has just said who it is. Raises what the way to the host raises."""
    kind = service_registry.kind(service.kind)
    if not isinstance(kind, FillsSegments):
        return NOT_ASKED
    return compare_sizes(
        f"{host} → {subject.cluster.vip}:{service.port}",
        lambda limit: ask_over_the_path(subject, host, service, kind.full_sized, limit),
        lambda: ask_over_the_path(subject, host, service, kind.who_are_you, SMALL_TIMEOUT_S),
    )


def compare_sizes(path_text: str, large: Callable[[float], str], small: Callable[[], object]) -> FullSegments:
    """What was long and got no answer is asked again, with a limit that a short exchange sets, which was answered meanwhile."""
    try:
        outcome, unanswered_text = _try_exchange(lambda: large(FULL_TIMEOUT_S))
        if outcome:
            return FullSegments(True, f"full-sized segments pass, {outcome}")
        started_at = time.monotonic()
        _, small_unanswered = _try_exchange(small)
        if small_unanswered:
            return FullSegments(
                None, f"{path_text}: {unanswered_text}; nor was something short: {small_unanswered}; is it overloaded?", slow=True
            )
        limit = max(FULL_TIMEOUT_S, SECOND_TIMEOUT_FACTOR * (time.monotonic() - started_at))
        outcome, unanswered_text = _try_exchange(lambda: large(limit))
    except WrongAnswer as error:
        return FullSegments(True, f"{path_text}: the service answers, and not always what it should: {error}", wrong=str(error))
    except (NotTheService, OSError) as error:
        return FullSegments(None, f"{path_text}: it does not take what fills a segment: {error}")
    if outcome:
        return FullSegments(True, f"full-sized segments pass, {outcome}, the second time")
    return FullSegments(
        False, f"{path_text}: short exchanges pass, and {unanswered_text}, twice: full-sized segments are lost on this path (MTU)"
    )


def _try_exchange(ask: Callable[[], object]) -> tuple[object, str]:
    """What it returns, or what was not answered in time."""
    try:
        return ask() or "answered", ""
    except DeadlineExceeded as error:
        return None, str(error)

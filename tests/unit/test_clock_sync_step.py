"""A host's clock that jumps while the connection is too busy for a burst as good as the best one."""

from __future__ import annotations

import pytest

from harness.remote.agents.clock_sync import HostClock


def burst(clock: HostClock, at: float, *, error: float, mono: float, wall: float) -> bool:
    """One ping at `at`, answered by clocks that are so far ahead of the harness's, with a round trip of twice `error`; was it taken?"""
    words = clock.begin(1)
    number = int(words.split()[1])
    clock._sent[number] = at - error
    return clock.take_echo(number, at + mono, at + wall, now=at + error)[1] is not None


def test_a_clock_that_was_set_is_noticed_by_the_first_burst_that_cannot_agree() -> None:
    clock = HostClock("lknode01")
    assert burst(clock, 100.0, error=0.0002, mono=5.0, wall=1000.0)
    assert not burst(clock, 102.0, error=0.002, mono=5.0015, wall=1000.001), "worse, and it agrees: the best one stays"
    assert clock.step() is None
    # paused for 3 s, and its wall clock set forward by 0.8 s: worse than the best by ten times, and nothing but a jump explains it
    assert burst(clock, 104.0, error=0.002, mono=2.0, wall=1000.8)
    step = clock.step()
    assert step is not None and (step.since, step.until) == pytest.approx((102.0, 104.0))
    assert (-step.mono_s, -step.wall_s) == pytest.approx((-3.0, 0.8), abs=0.0001)
    assert "the monotonic one by -3.000 s, the wall clock by +0.800 s" in str(step)
    assert clock.step() is None, "told once"
    assert clock.best is not None and clock.time(106.0) == pytest.approx(104.0) and clock.best.error_s == pytest.approx(0.002)
    assert not burst(clock, 106.0, error=0.003, mono=2.001, wall=1000.799)


@pytest.mark.parametrize("seconds", [2.0, 60.0, 600.0])
def test_drift_and_slewing_are_no_jump(seconds: float) -> None:
    clock = HostClock("lknode01")
    burst(clock, 100.0, error=0.0002, mono=5.0, wall=1000.0)
    burst(clock, 100.0 + seconds, error=0.0005, mono=5.0 + 0.9e-4 * seconds, wall=1000.0 - 4.9e-4 * seconds)
    assert clock.step() is None

"""What a flight recorder does to a cluster, said before it is started. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from harness.core.text.wording import count
from harness.core.time_span import DAY_S
from harness.remote.agents.agent_launch import AgentSeries
from harness.remote.agents.recorder_link import RecorderOptions

CONNECTION_BYTES = 600  # of packets for one connection that says a short word and hears a short answer: seven packets with their headers
MEASURED_CPU = (
    "less than 1 % of one core at the low rate (docs/recorder.md says how that was measured; `record status` shows what it is here)"
)


def statement(plans: Mapping[str, Mapping[AgentSeries, float]], days: float, options: RecorderOptions, reasons: Sequence[str]) -> str:
    """The load on each host and on the service, for a person who has to say *yes*. `plans`: of each host its series, each with its fast
    period in seconds; `reasons`: what is not recorded, and why."""
    rates = {host: sum(1 / series.period_s for series in all_series) for host, all_series in plans.items()}
    fast = {host: sum(1 / fast for fast in all_series.values()) for host, all_series in plans.items()}
    disk = options.kept + 2 * options.journal
    lines = [
        f"a flight recorder on {' and '.join(plans)} for {_days(days)}; it reads, connects as a client does, and changes nothing else:",
        *(f"  {host}: {rates[host]:g} connections a second, {_names(plans[host])}" for host in plans),
        f"  the service's side: {sum(rates.values()):g} connections a second in all, {sum(rates.values()) * DAY_S:,.0f} a day, about "
        f"{sum(rates.values()) * CONNECTION_BYTES / 1000:.1f} kB/s; each is broken off once it "
        "was answered; a server that counts such, or logs each, will do so: MySQL and MariaDB "
        "refuse a host of which they counted 100 (max_connect_errors), PostgreSQL starts a process for each, and a log or an intrusion "
        "detection may fill",
        f"  while something is wrong: {sum(fast.values()):g} a second in all, for {options.longest_fast:g} s of each incident at most; for "
        "a second now and then where an answer takes unusually long",
        f"  on each host: {MEASURED_CPU}; about 20 MB of memory, at most {disk / 1e6:.0f} MB of the disk, "
        f"nothing while less than {options.free / 1e6:.0f} MB of it are free",
        f"  kept: {options.before:g} s before, and {options.after:g} s after a path failed, a role changed or `lkharness record mark`",
        f"  it ends by itself after {_days(days)}, and what it left goes 7 days later; `lkharness record remove` removes all of it now",
    ]
    return "\n".join([*lines, *(f"  {reason}" for reason in reasons)])


def _days(days: float) -> str:
    return f"{days:g} day{'' if days == 1 else 's'}"


def _names(all_series: Collection[AgentSeries]) -> str:
    return f"{count(len(all_series), 'service')} ({', '.join(series.id.split('/')[1] for series in all_series)})"

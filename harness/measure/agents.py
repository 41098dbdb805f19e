"""The agent that a host can bear."""

from __future__ import annotations

from typing import Protocol

from harness.hosts import windows_agent
from harness.hosts.base import Host, Process
from harness.measure import shell_agent
from harness.measure.agent import START_S, Agent, Sink
from harness.measure.agent_plan import AgentPlan
from harness.measure.forwarding_agent import ForwardingAgent
from harness.measure.means import Kind, Means
from harness.measure.streamed import Streamed


class Measures(Protocol):
    """What the meter asks of an agent of any kind."""

    name: str

    def start(self, limit: float = START_S) -> None: ...
    @property
    def remaining_s(self) -> float: ...
    def renew(self) -> None: ...
    def stop(self, limit: float = 15.0) -> list[str]: ...


def agent_of(host: Host, means: Means, python: str, plan: AgentPlan, sink: Sink) -> Measures:
    """One that is not started yet. Only the whole one watches what else the plan asks for."""
    if means.kind is Kind.PYTHON:
        return Agent(host, python, plan, sink)
    if means.kind is Kind.FORWARDING:
        return ForwardingAgent(host, plan, sink)

    def start(lifetime_s: float) -> Process:
        if means.kind is Kind.POWERSHELL:
            return windows_agent.start(host, [track.wire() for track in plan.tracks], lifetime_s=lifetime_s)
        return shell_agent.start(host, plan.tracks, lifetime_s=lifetime_s)

    return Streamed(host, plan, sink, start)

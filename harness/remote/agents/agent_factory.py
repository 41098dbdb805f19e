"""The agent that a host can bear."""

from __future__ import annotations

from typing import Protocol

from harness.hosts.host import Host, Process
from harness.remote.agents import csharp_agent, powershell_agent, shell_agent
from harness.remote.agents.agent_launch import AgentPlan
from harness.remote.agents.agent_session import START_TIMEOUT_S, Agent, Sink
from harness.remote.agents.forwarding_agent import ForwardingAgent
from harness.remote.agents.streamed_agent import StreamedAgent
from harness.remote.host_capabilities import Capabilities, Kind


class Measures(Protocol):
    """What the meter asks of an agent of any kind."""

    name: str

    def start(self, limit: float = START_TIMEOUT_S) -> None:
        """Starts to measure; raises HarnessError when the host does not within `limit` seconds."""

    @property
    def remaining_s(self) -> float:
        """How long it measures yet unless it is renewed, in seconds."""

    def renew(self) -> None:
        """Has it measure for another lifetime."""

    def stop(self, limit: float = 15.0) -> list[str]:
        """Ends it and takes in what it still had; returns a sentence for everything that went wrong."""


def agent_of(host: Host, capabilities: Capabilities, python: str, plan: AgentPlan, sink: Sink) -> Measures:
    """One that is not started yet. Those in Python and in C# watch what else the plan asks for; the latter no log."""
    if capabilities.kind is Kind.PYTHON:
        return Agent(host, python, plan, sink)
    if capabilities.kind is Kind.FORWARDING:
        return ForwardingAgent(host, plan, sink)
    if capabilities.kind is Kind.COMPILED:
        wire = [series.wire() for series in plan.series]

        def start_compiled(lifetime_s: float) -> Process:
            return csharp_agent.start(host, wire, lifetime_s=lifetime_s, watch=plan.watch)

        return csharp_agent.CsharpAgent(host, plan, sink, start_compiled)

    def start(lifetime_s: float) -> Process:
        if capabilities.kind is Kind.POWERSHELL:
            return powershell_agent.start(host, [series.wire() for series in plan.series], lifetime_s=lifetime_s)
        return shell_agent.start(host, plan.series, lifetime_s=lifetime_s)

    return StreamedAgent(host, plan, sink, start)

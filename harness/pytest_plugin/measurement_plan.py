"""Which disruptions are measured, how often, and when each starts (drawn, or stepped through the probe's period)."""

from __future__ import annotations

import random
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass, replace

from harness.config.cluster_config import Cluster
from harness.core.errors import BadUse, Unusable
from harness.disrupt import disruption as disruptions
from harness.measure.measured_disruption import Start
from harness.pytest_plugin.soak import Soak
from harness.remote.agents.agent_launch import PERIODS_S


@dataclass(frozen=True)
class MeasurementOptions:
    """What the command line asks of the measuring; `seed` None: drawn anew, and told in the report."""

    period_s: float = 0.01
    repeat: int = 1
    sweep: int = 0
    seed: int | None = None

    def starts(self, name: str, cluster: Cluster) -> Iterator[Start]:
        """The beginnings of each repeat: somewhere in the longest of the periods that matter, or stepped through the probe's."""
        probe = cluster.load_balancer.probe.interval_s
        if self.sweep:
            for step in range(self.sweep):
                yield Start(repeat=step, after_probe_s=step * probe / self.sweep)
            return
        seed = random.randrange(1 << 32) if self.seed is None else self.seed
        generator = random.Random(f"{seed} {name}")
        for repeat in range(self.repeat):
            yield Start(repeat=repeat, offset_s=generator.uniform(0.0, max(probe, cluster.manager.heartbeat_s)), seed=seed)


@dataclass(frozen=True)
class Planned:
    """One measurement to come."""

    name: str
    start: Start

    def __str__(self) -> str:
        """The test's id: the disruption, and which repeat or step it is."""
        if self.start.after_probe_s is not None:
            return f"{self.name} {self.start.after_probe_s * 1000:.0f} ms after a probe"
        return self.name if self.start.repeat == 0 else f"{self.name} {self.start.repeat + 1}"


@dataclass(frozen=True)
class Plan:
    """`names` empty: every disruption there is for such a cluster."""

    names: tuple[str, ...]
    options: MeasurementOptions
    allow_unproven: bool = False  # is "cannot tell" of an attached cluster no reason to leave a disruption?
    soak: Soak | None = None

    @classmethod
    def of_options(cls, options: Namespace) -> Plan:
        """Raises BadUse for a disruption, period or number that there is not."""
        names = tuple(disruptions.get_disruption(name).name for name in options.disruption or ())
        periods_ms = [round(p * 1000) for p in PERIODS_S]
        if options.period not in periods_ms:
            raise BadUse(f"--period {options.period}: the meter knows {', '.join(map(str, periods_ms))} ms")
        if options.repeat < 1 or options.sweep < 0:
            raise BadUse("--repeat must be 1 or more, --sweep 1 or more steps")
        if options.repeat > 1 and options.sweep:
            raise BadUse("--repeat and --sweep do not go together: a sweep has its own steps")
        soak = Soak.of_options(options.soak_for, options.availability)
        if soak is not None and (options.repeat > 1 or options.sweep):
            raise BadUse("--for does not go with --repeat and --sweep: it measures until its time is over")
        return cls(
            names, MeasurementOptions(options.period / 1000, options.repeat, options.sweep, options.seed), options.allow_unproven, soak
        )

    def measurements(self, cluster: Cluster, *, azure: bool = False, own_lab: bool = False) -> list[Planned]:
        """`azure`: can its management API be asked? Without it, what is done through it is planned only where it was named.

        A soak has one for each that is named, of the control alone without a name, and they share its time.
        So is what destroys something for good, always, and what may put both nodes in service, except on an `own_lab` of the run.
        Raises Unusable when all are meant and plug-ins cannot be used.
        """
        if self.soak is not None:
            soak_names = self.names or ("none",)
            share = self.soak.for_s / len(soak_names)
            starts = {name: next(iter(self.options.starts(name, cluster))) for name in soak_names}
            return [Planned(name, replace(start, lasts_s=share)) for name, start in starts.items()]
        names = self.names or self._all(azure, own_lab)
        return [Planned(name, start) for name in names for start in self.options.starts(name, cluster)]

    @staticmethod
    def _all(azure: bool, own_lab: bool) -> tuple[str, ...]:
        if faults := disruptions.faults():
            raise Unusable("; ".join([*faults, "name the disruptions to be done with --disruption, or fix it"]))
        return tuple(
            name
            for name, kind in disruptions.all_of().items()
            if (azure or not kind.by_azure) and not kind.destroys and (own_lab or not kind.splits)
        )

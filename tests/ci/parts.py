"""The parts: what a change can break, and what is looked at by hand and every night."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

DESIGNS = ("nat", "floating")
MANAGERS = ("lifekeeper", "pacemaker")


@dataclass(frozen=True)
class Part:
    """One command of `./run`. `has_tests`: it ends with pytest's summary, and without one it did not run."""

    name: str
    words: tuple[str, ...]
    has_tests: bool = True


def _suite(suite: str, *more: str) -> Part:
    return Part(" ".join((suite, *(word.removeprefix("--") for word in more))), (suite, "-q", *more))


NOT_ON_WINDOWS = "not without_ip_resource"  # a resource that is taken out with nobody there to put it back


WSFC = ("--manager", "wsfc")
MOVES = "switchover or power_loss or (service_crash and listener)"  # what of the suite is the cluster manager's own doing


def _windows_shaped(design: str, *manager: str, only: str = NOT_ON_WINDOWS) -> Part:
    words = ("acceptance", "-q", "--design", design, *manager, "--platform", "windows", "-k", only)
    return Part(_named("acceptance", design, manager), words)


def _named(suite: str, design: str, manager: tuple[str, ...]) -> str:
    return " ".join((suite, "design", design, *(word.removeprefix("--") for word in manager), "platform windows"))


# Every disruption that is done to a Windows node; of the others `./run failover --platform windows` says why not.
ON_WINDOWS = (
    *("switchover", "failback", "service crash", "probe responder crash", "probe blocked", "one comm path cut", "all comm paths cut"),
    *("NIC down Subnet#1", "NIC down Subnet#2", "power loss", "node reboot", "node freeze", "idle beyond the balancer's timeout", "none"),
)


def _windows_failover(design: str, *disruptions: str, manager: tuple[str, ...] = ()) -> Part:
    words = [word for name in disruptions for word in ("--disruption", name)]
    return Part(_named("failover", design, manager), ("failover", "-q", "--design", design, *manager, "--platform", "windows", *words))


LINT = Part("lint", ("lint",), has_tests=False)

# What a change can break. The harness's own tests come last: their summary is the last line.
CHANGE = (
    LINT,
    _suite("acceptance", "--design", "nat"),
    _suite("acceptance", "--design", "floating"),
    _suite("acceptance", "--design", "nat", "--azure"),
    _suite("acceptance", "--design", "nat", "--manager", "pacemaker"),
    _suite("acceptance", "--design", "floating", "--manager", "pacemaker"),
    *(_suite("acceptance", "--design", design, "--manager", "pacemaker", "--guests", "container") for design in DESIGNS),
    _windows_shaped("nat"),
    _windows_shaped("floating", *WSFC, only=MOVES),
    _suite("failover", "--design", "nat", "--disruption", "switchover", "--disruption", "power loss"),
    _windows_failover("nat", "switchover", "service crash"),
    Part("tests", ("tests", "-q", "--heavy")),
)

# Every disruption in both designs on every manager, with Azure's where the lab's nodes are as Azure sees them; then the tests, whole.
DEEP = (
    LINT,
    *(_suite("acceptance", "--design", design, "--manager", manager) for design, manager in product(DESIGNS, MANAGERS)),
    *(_suite("acceptance", "--design", design, "--manager", "pacemaker", "--guests", "container") for design in DESIGNS),
    *(_windows_shaped(design, *manager) for manager in ((), WSFC) for design in DESIGNS),
    *(_suite("acceptance", "--design", design, "--azure") for design in DESIGNS),
    *(_suite("failover", "--design", design, "--azure") for design in DESIGNS),
    *(_suite("failover", "--design", design, "--manager", "pacemaker") for design in DESIGNS),
    *(_windows_failover(design, *ON_WINDOWS, manager=manager) for manager in ((), WSFC) for design in DESIGNS),
    Part("tests --deep", ("tests", "-q", "--deep")),
)

PLANS = {"change": CHANGE, "deep": DEEP}

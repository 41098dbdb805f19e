"""What a service can say about itself, whatever its kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, runtime_checkable

from harness.core.deadline import Deadline
from harness.core.errors import BadUse
from harness.core.finding import Finding
from harness.core.text.host_text import visible
from harness.services.token_table import TokenTable


@dataclass(frozen=True)
class Identity:
    """What answered: proof that the protocol was spoken, and whatever tells the node.

    `node` is the name the service gave for its node, `address` the local address it saw the connection arrive at,
    `started` its start as seconds since the epoch. Each may be None: then only the packets tell the node.
    """

    kind: str
    said: str
    node: str | None = None
    address: str | None = None
    started: float | None = None
    facts: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """What a stranger's service says of itself is text to be read, and nothing else."""
        for name in ("said", "node", "address"):
            if isinstance(value := getattr(self, name), str):
                object.__setattr__(self, name, visible(value))
        object.__setattr__(self, "facts", {key: visible(value) for key, value in self.facts.items()})


@dataclass(frozen=True)
class Hello:
    """The shortest exchange that only the service itself can have, for connections made a hundred times a second.

    `say` is sent as soon as the connection stands; `expect`, a regular expression on bytes, is searched in all that was heard since.
    Empty: nothing is said, and nothing can be expected. `keeps`: it may be said again and again on the same connection.
    `again`: an answer that asks for the same words once more on the same connection. `http`: the answer is whole when HTTP says so,
    which matters where the connection is kept. `least_period_s`: the service does not bear it more often, in seconds.
    """

    say: bytes
    expect: bytes
    keeps: bool
    again: bytes = b""
    http: bool = False
    least_period_s: float = 0.0


class TurnedAway(BadUse):
    """The service serves, and refuses the account that the cluster file names; the message is its own sentence."""


class Unbearable(BadUse):
    """The service does not bear to be connected to as the harness does, and somebody else would pay for it; the message says how."""


class UnbearableAndRefusing(Unbearable):
    """And it serves nobody from there now; the message begins with its own words."""


class NotServing(ConnectionAbortedError):
    """The service answers, and says itself that it does not serve (yet), and mostly why; the message has its own words."""


class WordsUntold(NotServing):
    """The service answered with an error whose words this client's library did not hand on; `SaysItself` may bring them."""


class NotTheService(Exception):
    """Something answered, but it did not speak the service's protocol; the message quotes what it said."""


class WrongAnswer(NotTheService):
    """It spoke the protocol, and answered what it should not: an error status, a redirection elsewhere."""


class ServiceKind(ABC):
    """All that the product knows of one kind of service: its dialogue, and what else depends on the kind. Made without arguments.

    `host` and `port` are where to connect: often a loopback forwarder that carries the bytes over the origin host's own connection, which
    is why no kind may rely on the address it dials.
    """

    kind: ClassVar[str]  # what the cluster file calls it
    usual_ports: ClassVar[tuple[int, ...]] = ()  # a load-balancing rule for one of them is taken for this kind
    # For how long it bears a client that has not logged in or asked for anything, in seconds; then it ends the connection itself, and
    # nothing is learnt of the balancer's idle timeout. One of which nothing is said may be as impatient as a database.
    bears_silence_s: ClassVar[float] = 60.0
    data_on_shared_disk: ClassVar[bool] = False  # does its process work in a folder of the disk that moves with it?

    def load(self) -> None:  # noqa: B027  # most kinds need no more than this package
        """Load what its dialogue needs and takes long to load, while something else is waited for."""

    def usual_settings(self, vip: str, port: int) -> Mapping[str, str]:
        """What its clients say by themselves at that frontend; the cluster file's settings count first."""
        return {}

    def takes_tokens(self, settings: Mapping[str, str]) -> bool:
        """May the harness write rows into it, to see which of them survive? Then `token_table` is there, too."""
        return False

    def token_table(self, host: str, port: int, *, settings: dict[str, str], deadline: Deadline) -> TokenTable:
        """A session in which tokens are written and counted. Raises as `who_are_you` does, BadUse for a kind that takes none."""
        raise BadUse(f"services of kind {self.kind} take no tokens")

    @abstractmethod
    def who_are_you(self, host: str, port: int, *, settings: dict[str, str], deadline: Deadline) -> Identity:
        """Ask. Raises NotTheService when the protocol is wrong, OSError when the connection breaks, DeadlineExceeded in time."""

    @abstractmethod
    def hello(self, settings: dict[str, str]) -> Hello:
        """What an agent says on each of its connections, and what the service must answer. Raises BadUse for wrong settings."""


@runtime_checkable
class Proof(Protocol):
    """A kind that needs a second connection, to a service that has already said who it is, to prove that it serves its clients."""

    def is_it_really_you(self, host: str, port: int, *, settings: dict[str, str], deadline: Deadline) -> str:
        """Returns what proved it, in words. Raises as `who_are_you` does."""


@runtime_checkable
class SaysItself(Protocol):
    """A kind that can be asked once more for the words of an error, on a connection of its own, where WordsUntold was raised."""

    def own_words(self, host: str, port: int, *, settings: dict[str, str], deadline: Deadline) -> str:
        """The error in the service's own words, empty where it says none any more. No password is sent. Raises OSError and
        DeadlineExceeded."""


FULL_BYTES = 3000  # fills two segments at the usual MTU of 1500; well within the longest header and query that any server takes


@runtime_checkable
class FillsSegments(Protocol):
    """A kind that may be asked something long without harm. What passes while small things do only is lost on the way (MTU)."""

    def full_sized(self, host: str, port: int, *, settings: dict[str, str], deadline: Deadline) -> str:
        """One exchange of FULL_BYTES; returns which way so much was sent, in words. Raises as `who_are_you` does, DeadlineExceeded with
        what was not answered."""


@runtime_checkable
class TellsFindings(Protocol):
    """A kind that can say what is not as it should be, though it serves: a certificate that ends, a name that no balancer carries."""

    def tells_findings(self, settings: Mapping[str, str]) -> bool:
        """May it have any with these settings? It is not asked otherwise."""

    def findings(self, host: str, port: int, *, settings: dict[str, str], deadline: Deadline) -> list[Finding]:
        """One look, which changes nothing. Raises as `who_are_you` does."""


@runtime_checkable
class DemandsTolerance(Protocol):
    """A kind that may stand for a service that does not bear being connected to in number; it is asked once before it is."""

    def demand_bearable(self, host: str, port: int, *, settings: dict[str, str], deadline: Deadline) -> None:
        """One connection. Raises Unbearable; as `who_are_you` does, when nothing can be found out."""

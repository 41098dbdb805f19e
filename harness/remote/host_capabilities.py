"""What a host can bear of the measuring, asked of it once: the whole agent, PowerShell's, its shell's, or its sshd's forwarding only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from harness.core.errors import Unusable
from harness.hosts.host import Host
from harness.hosts.ssh.forwarding import Forwarding
from harness.hosts.ssh.ssh_connection import SessionsTaken
from harness.hosts.ssh.ssh_host import SshHost

QUESTION_TIMEOUT_S = 15.0
OWN_PACKETS = "its own packets"

# What it takes: bash 4 with /dev/tcp, and the few tools that the script calls. To the broadcast address no kernel opens a connection,
# and it says so at once; a closed port of the loopback would be waited for where a firewall drops refusals (RST).
QUESTION = """echo lkharness-asks
"$0" -I -S -c 'import sys; sys.exit(sys.version_info < (3, 6))' >/dev/null 2>&1 && echo python
for tool in bash dd date grep; do command -v "$tool" >/dev/null || exit 0; done
sleep 0.01 2>/dev/null || exit 0
case "$(date +%N)" in ''|*[!0-9]*) exit 0 ;; esac
asked="$(bash -c '[ "${BASH_VERSINFO[0]}" -ge 4 ] && exec 3<>/dev/tcp/255.255.255.255/1 && echo connect:' 2>&1)"
case "$asked" in *connect:*) echo bash ;; esac
exit 0"""


class Kind(StrEnum):
    """How connections are made from a host, best first."""

    PYTHON = "Python"
    COMPILED = "C#"
    POWERSHELL = "PowerShell"
    SHELL = "shell"
    FORWARDING = "forwarding"


@dataclass(frozen=True)
class Answers:
    """What the host said: can its shell make connections, and does its sshd?"""

    platform: str = "linux"
    python: bool = False
    shell: bool = False
    forwards: bool = False


@dataclass(frozen=True)
class Capabilities:
    """One kind, and what it leaves. `least_period_s`: attempts come no more often; `tells_port`: does it tell the local port of an
    answered attempt, by which the nodes' packets name who answered? `keeps`: are established connections measured from there, too?
    `skip_reason`: what is not measured from there."""

    kind: Kind
    least_period_s: float = 0.001
    tells_port: bool = True
    keeps: bool = False
    how: str = ""
    skip_reason: tuple[str, ...] = ()

    @property
    def full(self) -> bool:
        """Whether the host runs the agent in Python."""
        return self.kind is Kind.PYTHON

    @property
    def watches(self) -> bool:
        """Whether its agent tells what else changes there: the VIP, who listens, who is connected."""
        return self.kind in (Kind.PYTHON, Kind.COMPILED)

    @property
    def captures(self) -> bool:
        """Whether there is something that captures packets there; it may be refused all the same."""
        return self.kind in (Kind.PYTHON, Kind.COMPILED)

    def period_s(self, wanted_s: float) -> float:
        """The period that is possible there when this one is asked for, in seconds."""
        return max(wanted_s, self.least_period_s)

    def sentence(self, host: str, asked_s: float, *, captured_elsewhere: bool = False) -> str:
        """What is left, for the report; "" where nothing is missing. `captured_elsewhere`: its packets are, at the network."""
        if self.full:
            return ""
        real = self.period_s(asked_s)
        instead = f" instead of the {asked_s * 1000:g} ms asked for" if real > asked_s else ""
        missing = [what for what in self.skip_reason if what != OWN_PACKETS or not captured_elsewhere]
        return (
            f"{host} {self.how}: the resolution that is left is {real * 1000:g} ms{instead}, "
            f"and not measured from there are {', '.join(missing)}"
        )


FULL = Capabilities(Kind.PYTHON, keeps=True)
NOT_WITHOUT_PYTHON = ("pinned connections", OWN_PACKETS, "its events (VIP, listeners, log)")
POWERSHELL = Capabilities(Kind.POWERSHELL, 0.05, how="runs Windows, so it is measured by PowerShell", skip_reason=NOT_WITHOUT_PYTHON)
COMPILED = Capabilities(
    Kind.COMPILED,
    0.01,
    keeps=True,
    how="runs Windows, so it is measured by programs in C# that its PowerShell compiles",
    skip_reason=("its manager's log",),
)
FORWARDED = Capabilities(
    Kind.FORWARDING,
    0.25,
    tells_port=False,
    how="runs no command for us, so its sshd makes the connections (direct-tcpip) and tells their outcome over SSH",
    skip_reason=(*NOT_WITHOUT_PYTHON, "the port of an attempt (by the packets of its time only is it known which node answered)"),
)


SHELL = Capabilities(
    Kind.SHELL,
    0.1,
    how="has no Python 3.6 or newer, so it is measured through its shell",
    skip_reason=(*NOT_WITHOUT_PYTHON, "the port of a failed attempt"),
)


def decide(answers: Answers) -> Capabilities | None:
    """The best that the host can bear; None: nothing. Pure."""
    if answers.platform == "windows":
        return POWERSHELL
    if answers.python:
        return FULL
    if answers.shell:
        return SHELL
    return FORWARDED if answers.forwards else None


def ask(host: Host, platform: str, python: str) -> Capabilities:
    """Ask the host. Raises HostUnreachable, or Unusable when no connection can be made from there."""
    capabilities = decide(_ask_shell(host, python) if platform == "linux" else Answers(platform))
    if capabilities is None:
        forwarding_of(host, checked=True).close()  # raises when that is not to be had either
        capabilities = decide(Answers(forwards=True))
    assert capabilities is not None
    return capabilities


def _ask_shell(host: Host, python: str) -> Answers:
    """A host that runs nothing for us says nothing of what was asked."""
    try:
        words = host.run(["sh", "-c", QUESTION, python], limit=QUESTION_TIMEOUT_S).out.split()
    except SessionsTaken:
        return Answers()
    words = words[1:] if words[:1] == ["lkharness-asks"] else []  # else something else ran there, whatever it printed
    return Answers(python="python" in words, shell="bash" in words)


def forwarding_of(host: Host, *, checked: bool = False) -> Forwarding:
    """An SSH connection for forwarding. Raises HostUnreachable; Unusable when the host has no such thing, or (`checked`) forbids it."""
    if not isinstance(host, SshHost):
        raise Unusable(f"{host.name}: no connection can be made from there: it has no Python, no bash, and is not reached by SSH")
    forwarding = host.forwarding(QUESTION_TIMEOUT_S)
    try:
        if checked:
            forwarding.demand_permitted(QUESTION_TIMEOUT_S)
    except BaseException:
        forwarding.close()
        raise
    return forwarding

"""A host that is a set of namespaces: its first process, from power on to power off. The default, and the quickest.

The host's first process is a fork of the lab's (a few milliseconds, nothing to import again). It waits until the fabric
has connected its NICs, arranges its private file systems, starts what the host runs, and then only reaps.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from harness.lab.linux import linux_syscalls
from harness.lab.linux.host_filesystem import FileSystem
from harness.lab.network import fabric

NAMESPACES = (
    linux_syscalls.CLONE_NEWNS
    | linux_syscalls.CLONE_NEWPID
    | linux_syscalls.CLONE_NEWUTS
    | linux_syscalls.CLONE_NEWIPC
    | linux_syscalls.CLONE_NEWNET
)


BOOT_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Plan:
    """What a host is made of."""

    name: str
    network: list[str]  # `ip -batch` lines for inside
    filesystem: FileSystem
    starts: list[list[str]] = field(default_factory=list)  # commands run once at boot, in this order


NO_INIT = "its first process is no init system that could stop services in order; a guest of kind container has one"


class NamespaceGuest:
    """A host from the outside: its process, its network namespace, and whether it has power."""

    kind = "namespace"
    boot_timeout_s = BOOT_TIMEOUT_S
    cannot: Mapping[str, str] = MappingProxyType({"shutdown": NO_INIT})

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.name = plan.name
        self.pid: int | None = None
        self.netns: int | None = None
        self.frozen = False
        self._go: int | None = None
        self._news: int | None = None

    def own_netns(self) -> int | None:
        """An open file of its network namespace; None without power."""
        return self.netns

    @property
    def power(self) -> str:
        """`on`, `off` or `frozen`."""
        return "off" if self.pid is None else "frozen" if self.frozen else "on"

    async def power_on(self) -> str:
        """Make the host's namespaces and first process, and return its pid; it now waits for its NICs (`connect`)."""
        news, news_write_end = os.pipe()
        wait_read_end, self._go = os.pipe()
        child = os.fork()
        if child == 0:
            _become(self.plan, news_write_end, wait_read_end)
        os.close(news_write_end)
        os.close(wait_read_end)
        self._news = news
        first_line = _read_line(news)
        os.waitpid(child, 0)  # it has left its own child, the host's first process, to us
        if not first_line.isdigit():
            raise OSError(f"{self.name} could not be started: {first_line or 'its first process died at once'}")
        self.pid = int(first_line)
        self.netns = os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        return first_line

    def connect(self) -> None:
        """Its NICs are there: go on booting. `wait_until_booted` tells when it has."""
        assert self._go is not None
        os.write(self._go, b"go\n")
        os.close(self._go)
        self._go = None

    async def wait_until_booted(self) -> None:
        """Wait, without keeping anything else waiting, until the host has started everything. Raises OSError with what went wrong."""
        assert self._news is not None
        loop, readable, news = asyncio.get_running_loop(), asyncio.Event(), self._news
        loop.add_reader(news, readable.set)
        try:
            await readable.wait()
        finally:
            loop.remove_reader(news)
        line = _read_line(news)
        os.close(news)
        if self._news == news:  # it may have lost its power and been given it again meanwhile
            self._news = None
        if line != "up":
            raise OSError(f"{self.name} did not come up: {line or 'its first process died'}")

    def end_fd(self) -> int:
        """A new file that becomes readable when its first process has ended."""
        assert self.pid is not None
        return os.pidfd_open(self.pid)

    async def power_loss(self) -> None:
        """End everything in it at once. Its legs must be dark already.

        Its network namespace stays until `forget_network`, so that its legs can be taken away in order.
        """
        if self.pid is None:
            return
        pid, self.pid, self.frozen = self.pid, None, False
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

    async def shutdown(self) -> None:
        """It has no init that could do it. Raises ValueError."""
        raise ValueError(f"{self.name}: {self.cannot['shutdown']}")

    def forget_network(self) -> None:
        """Closes the handle of the host's network namespace, which ends with its last process then."""
        if self.netns is not None:
            os.close(self.netns)
            self.netns = None

    def processes(self) -> list[int]:
        """The pids of everything that runs in it."""
        if self.pid is None:
            return []
        own_namespace = _pid_namespace(self.pid)
        return [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit() and _pid_namespace(int(p.name)) == own_namespace]

    async def freeze(self) -> None:
        """Stop every process of it where it stands."""
        self.frozen = True
        self._signal_all(signal.SIGSTOP)

    async def thaw(self) -> None:
        """Lets every process of a frozen host run again."""
        self._signal_all(signal.SIGCONT)
        self.frozen = False

    def _signal_all(self, number: signal.Signals) -> None:
        signalled: set[int] = set()
        while fresh := [p for p in self.processes() if p not in signalled]:  # a process may have been born meanwhile
            for pid in fresh:
                signalled.add(pid)
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    continue  # it has ended meanwhile


def _pid_namespace(pid: int) -> str | None:
    try:
        return str(Path(f"/proc/{pid}/ns/pid").readlink())
    except OSError:
        return None


def _read_line(fd: int) -> str:
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(fd, 1)
        if not byte:
            break
        line += byte
    return line.decode().strip()


def _become(plan: Plan, news_fd: int, wait_fd: int) -> None:
    """In the forked child: leave the lab's namespaces; the grandchild becomes the host's first process. Never returns."""
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        _close_all_but(news_fd, wait_fd)
        os.setsid()
        linux_syscalls.unshare(NAMESPACES)
        pid = os.fork()
        if pid:
            os.write(news_fd, f"{pid}\n".encode())
            os._exit(0)
        _run_first_process(plan, news_fd, wait_fd)
    except BaseException as error:
        traceback.print_exc()
        os.write(news_fd, f"{type(error).__name__}: {' '.join(str(error).split())}\n".encode())
    os._exit(1)


def _close_all_but(*keep: int) -> None:
    kept_fds = {0, 1, 2, *keep}
    for number in [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]:
        if number not in kept_fds:
            try:
                os.close(number)
            except OSError:
                continue  # the listing's own descriptor


def _run_first_process(plan: Plan, news_fd: int, wait_fd: int) -> None:
    """The host's first process."""
    if _read_line(wait_fd) != "go":
        os._exit(0)  # the lab changed its mind
    os.close(wait_fd)
    _at_halt(plan.network)
    socket.sethostname(plan.name)
    _network(plan.network)
    plan.filesystem.arrange()
    kernel_limits()
    environment = {"PATH": f"/opt/lab/bin:{os.environ['PATH']}", "HOME": "/root", "LC_ALL": "C.UTF-8", "USER": "root", "LOGNAME": "root"}
    os.chdir("/")
    for command in plan.starts:
        _start(command, environment)
    os.write(news_fd, b"up\n")
    os.close(news_fd)
    _reap_for_ever()


def _start(command: list[str], environment: dict[str, str]) -> None:
    completed = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if completed.returncode != 0:
        raise OSError(f"`{' '.join(command)}` exited {completed.returncode}: {completed.stdout.strip()}")


def _network(lines: list[str]) -> None:
    fabric.sysctl("ipv6/conf/all/disable_ipv6", 1)
    fabric.sysctl("ipv6/conf/default/disable_ipv6", 1)
    fabric.sysctl("ipv4/ip_unprivileged_port_start", 0)
    fabric.sysctl("ipv4/conf/all/rp_filter", 0)
    fabric.sysctl("ipv4/tcp_timestamps", 0)  # as Azure's recipes for clusters have it (facts PRB-24, DES-07)
    fabric.batch(lines)


def _at_halt(network: list[str]) -> None:
    """SIGUSR1 halts the host as a forced reboot does: silent on the wire first, then everything ends at once."""
    nics = {
        fields[2] for fields in (line.split() for line in network) if fields[:2] == ["link", "set"]
    }  # with lo, where the gate's sshd is
    commands = [f"link set {nic} down" for nic in sorted(nics)]

    def halt(_number: int, _frame: object) -> None:
        fabric.batch(commands)
        os._exit(1)

    signal.signal(signal.SIGUSR1, halt)


def kernel_limits() -> None:
    """Keeps a host's root from accidents: no loading of modules, raw I/O, reboot, clock or new device nodes.

    It is no sandbox. SYS_ADMIN, SYS_PTRACE and DAC_OVERRIDE stay, because the hosts' own programs need them: where root started the lab,
    root in a host can mount devtmpfs and write /proc/sys/kernel, and so be root of the machine.
    """
    for capability in (16, 17, 22, 25, 27):  # SYS_MODULE, SYS_RAWIO, SYS_BOOT, SYS_TIME, MKNOD
        linux_syscalls.drop_capability(capability)


def _reap_for_ever() -> None:
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            signal.pause()
        except InterruptedError:
            continue

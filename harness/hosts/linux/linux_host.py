"""What a Linux host can tell about itself, over any transport. Every method asks anew and is limited to `limit` seconds.

All raise what `Host.run` raises, CommandFailed when the tool itself failed, and NotReadable when what it printed makes no sense.
"""

from __future__ import annotations

import time

from harness.core.errors import Unusable
from harness.hosts.host import CommandFailed, CommandResult, Host
from harness.hosts.linux import linux_parse
from harness.hosts.linux.linux_parse import InterfaceAddress, Listener, Route
from harness.hosts.root_rights import ROOT

TOOLS = 'PATH="$PATH:/usr/sbin:/sbin" '  # an ordinary user's PATH often lacks them

# Where both kinds of iptables are there, `iptables-save` is only one of them. The old one's table names are there once its module is loaded
# (the file never tells a size); of them the old one lists those that the kernel has, and loads nothing for it.
FIREWALL = f"""export {TOOLS.strip()}
there() {{ command -v "$1" >/dev/null; }}
if there nft; then any=yes
  if rules=$({ROOT} nft -j list ruleset 2>/dev/null); then told=yes; case "$rules" in
    *'"hook": "'[ie]*gress'"'*) case "$rules" in *'"dev":'*) ;; *) rules=$({ROOT} nft list ruleset 2>/dev/null || echo "$rules") ;; esac ;;
    esac; printf '%s\n\n' "$rules"; elif {ROOT} nft list ruleset 2>/dev/null; then told=yes; fi
fi
if there iptables-nft-save; then any=yes; {ROOT} iptables-nft-save 2>/dev/null && told=yes
  if [ -e /proc/net/ip_tables_names ] && there iptables-legacy-save; then {ROOT} iptables-legacy-save 2>/dev/null; fi
elif there iptables-save; then any=yes; {ROOT} iptables-save 2>/dev/null && told=yes
fi
[ -z "$any" ] || [ -n "$told" ] || {{ echo "the firewall may be read by root only" >&2; exit 1; }}
"""


class LinuxHost:
    """Reads facts of `host`."""

    def __init__(self, host: Host, *, limit: float = 10.0) -> None:
        self.host = host
        self.name = host.name
        self._limit = limit

    def addresses(self) -> list[InterfaceAddress]:
        """Every address on every interface."""
        return linux_parse.addresses(self._demand_ok(self._ip("addr")).out)

    def listeners(self) -> list[Listener]:
        """Every listening TCP socket; who holds it is known to root only."""
        return linux_parse.listeners(self._demand_ok(self._tool(f"{ROOT} ss -Hltnp")).out)

    def route_to(self, address: str) -> Route:
        """How the kernel would send to `address` now; kind `local` means that it never leaves the host (facts HAIR-07)."""
        result = self._ip(f"route get {address}")
        if not result.ok and (refusal := linux_parse.route_refusal(result.err)):
            return refusal
        return linux_parse.route(self._demand_ok(result).out)

    def firewall(self) -> str:
        """Every rule of its packet filter: nft's as JSON (as text where nft is too old for that, or
        does not tell in it on which NIC a chain is, as 1.0.6), and what `iptables-save` prints, of
        nft and of the old kind. Empty where there is no tool for rules, so none. Reading takes root."""
        return self._demand_ok(self.host.run(FIREWALL, limit=self._limit)).out

    def sysctl(self, name: str) -> str:
        """The value of a kernel setting, such as net.ipv4.ip_forward; as sysctl(8) has it, a dot in a part is written as a slash."""
        path = name.translate(str.maketrans("./", "/."))
        return self.host.check(["cat", f"/proc/sys/{path}"], limit=self._limit).strip()

    def hostname(self) -> str:
        """The name without its domain."""
        return self.host.check(["uname", "-n"], limit=self._limit).strip().partition(".")[0]

    def boot_id(self) -> str:
        """Differs after every boot of the kernel (hosts that share a kernel share it)."""
        return self.host.check(["cat", "/proc/sys/kernel/random/boot_id"], limit=self._limit).strip()

    def process_start(self, pid: int) -> float | None:
        """When a process started, in seconds since the host's epoch (right to about a second); None when there is none."""
        result = self.host.run(f"cat /proc/{pid:d}/stat || exit 44; getconf CLK_TCK; grep ^btime /proc/stat", limit=self._limit)
        if result.exit == 44:
            return None
        return linux_parse.process_start(self._demand_ok(result).out)

    def offset(self) -> tuple[float, float]:
        """How many seconds the host's wall clock is ahead of the harness's, and how wrong this may be at most.

        The best of three askings: each is right to half its round trip.
        """
        return min((self._measure_offset() for _ in range(3)), key=lambda estimate: estimate[1])

    def _measure_offset(self) -> tuple[float, float]:
        asked_at = time.time()
        output = self.host.check(["date", "+%s.%N"], limit=self._limit).strip()
        answered_at = time.time()
        try:
            host_time = linux_parse.seconds(output)
        except ValueError:
            raise Unusable(f"{self.name}: `date +%s.%N` printed {output[:80]!r}, which is no time; install GNU coreutils there") from None
        return host_time - (asked_at + answered_at) / 2, (answered_at - asked_at) / 2

    def _ip(self, what: str) -> CommandResult:
        result = self._tool(f"ip -json {what}")
        unknown = not result.ok and "-json" in result.err
        return self._tool(f"ip {what}") if unknown else result

    def _tool(self, line: str) -> CommandResult:
        result = self.host.run(f"export {TOOLS.strip()}; {line}", limit=self._limit)
        if result.exit == 127:
            raise Unusable(
                f"{self.name}: `{line.removeprefix(ROOT).split()[0]}` is not installed there; install the package iproute2 (iproute)"
            )
        return result

    @staticmethod
    def _demand_ok(result: CommandResult) -> CommandResult:
        if not result.ok:
            raise CommandFailed(result)
        return result

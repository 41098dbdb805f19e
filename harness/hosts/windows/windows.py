"""What a Windows host can tell about itself, over any transport: the same facts as `LinuxHost`, and what Windows has besides.

Every method asks anew and is limited to `limit` seconds. All raise what `Host.run` raises, CommandFailed when a cmdlet itself failed, and
NotReadable when the answer is not what was asked for. The cmdlets' shapes are [from memory], facts DSN-16 and WSFC-03; nothing of this
was run on Windows.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address

from harness.core.errors import BadUse, Unusable
from harness.hosts.host import CommandFailed, CommandResult, Host, HostUnreachable, NotReadable
from harness.hosts.linux.linux_parse import InterfaceAddress, Listener, Route
from harness.hosts.output_limits import LINE_AT_MOST
from harness.hosts.shell_command import shortened
from harness.hosts.windows import windows_parse
from harness.hosts.windows.powershell import EXE, quoted
from harness.hosts.windows.windows_parse import Event, FirewallProfile, FirewallRule, Service, WeakHost, WindowsListener

ADDRESSES = """$u=@{};Get-NetAdapter -IncludeHidden|%{$u[[int]$_.ifIndex]="$($_.Status)"}
J (Get-NetIPAddress|select 'InterfaceAlias','IPAddress','PrefixLength',@{n='Status';e={$u[[int]$_.InterfaceIndex]}},
@{n='AddressState';e={"$($_.AddressState)"}})"""
LISTENERS = """$p=@{};Get-Process|%{$p[[int]$_.Id]=$_.ProcessName}
J (Get-NetTCPConnection -State Listen|select 'LocalAddress','LocalPort','OwningProcess',@{n='Process';e={$p[[int]$_.OwningProcess]}})"""
# 1231: network not reachable, 1232: host not reachable
ROUTE = """$a=ADDRESS
$l=@(Get-NetIPAddress|?{$_.IPAddress -eq $a}).Count -gt 0
try{$r=@(Find-NetRoute -RemoteIPAddress $a|select 'IPAddress','InterfaceAlias','NextHop')}
catch{if($_.FullyQualifiedErrorId -match '123[12]'){J @{Unreachable=$true};exit 0};throw}
J ($r+@([pscustomobject]@{Local=$l}))"""
WEAK_HOSTS = """J (Get-NetIPInterface -AddressFamily IPv4|select 'InterfaceAlias',@{n='WeakHostSend';e={"$($_.WeakHostSend)"}},
@{n='WeakHostReceive';e={"$($_.WeakHostReceive)"}},@{n='Forwarding';e={"$($_.Forwarding)"}})"""
PROFILES = """J (Get-NetFirewallProfile -PolicyStore ActiveStore|select 'Name',@{n='Enabled';e={"$($_.Enabled)"}},
@{n='Inbound';e={"$($_.DefaultInboundAction)"}})"""
RULES = """$n=PORTS
$f=Get-NetFirewallPortFilter -PolicyStore ActiveStore -Protocol TCP|?{foreach($x in @($_.LocalPort)){
if($x -eq 'Any'){$true};if($x -match '^(\\d+)(-(\\d+))?$'){$b=[int]$matches[1];$e=if($matches[3]){[int]$matches[3]}else{$b}
foreach($q in $n){if($q -ge $b -and $q -le $e){$true}}}}}
J @($f|%{$g=$_;Get-NetFirewallRule -AssociatedNetFirewallPortFilter $g|?{"$($_.Enabled)" -eq 'True' -and "$($_.Direction)" -eq 'Inbound'}|
select @{n='Name';e={$_.DisplayName}},@{n='Action';e={"$($_.Action)"}},@{n='Profile';e={"$($_.Profile)"}},
@{n='Ports';e={@($g.LocalPort|%{"$_"})}}})"""
SERVICE = """J @(Get-Service|?{$_.Name -eq NAME}|select 'Name',@{n='Status';e={"$($_.Status)"}},@{n='StartType';e={"$($_.StartType)"}})"""
EVENTS = """$f=@{LogName=@(LOGS);StartTime=[DateTimeOffset]::FromUnixTimeMilliseconds(BEGIN).LocalDateTime
EndTime=[DateTimeOffset]::FromUnixTimeMilliseconds(END).LocalDateTimeSOURCE}
try{$e=@(Get-WinEvent -FilterHashtable $f -MaxEvents MOST)}
catch{if($_.FullyQualifiedErrorId -match '^NoMatching(Events|Providers)Found'){$e=@()}else{throw}}
J @($e|select @{n='At';e={([DateTimeOffset]$_.TimeCreated).ToUnixTimeMilliseconds()}},'LogName','ProviderName','Id','Level',
@{n='Message';e={$m="$($_.Message)";if(!$m){$m=($_.Properties|%{"$($_.Value)"}) -join ' '};$m.Substring(0,[Math]::Min(2000,$m.Length))}})"""
STARTED = """$p=Get-Process|?{$_.Id -eq PID};if(!$p){exit 44}
([DateTimeOffset]$p.StartTime).ToUnixTimeMilliseconds()"""
BOOTED = "([DateTimeOffset](Get-CimInstance Win32_OperatingSystem).LastBootUpTime).ToUnixTimeMilliseconds()"
CLOCK = """while($null -ne [Console]::In.ReadLine()){
[Console]::Out.WriteLine(([DateTime]::UtcNow-[DateTime]'1970-01-01').TotalSeconds.ToString('F6',[Globalization.CultureInfo]::InvariantCulture))}"""
EVENTS_AT_MOST = 5000


class WindowsHost:
    """Reads facts of `host`, whose commands are PowerShell."""

    def __init__(self, host: Host, *, limit: float = 20.0) -> None:
        self.host = host
        self.name = host.name
        self._limit = limit

    def addresses(self) -> list[InterfaceAddress]:
        """Every address on every interface."""
        return windows_parse.addresses(self._say(ADDRESSES))

    def listeners(self) -> list[Listener]:
        """Every listening TCP socket with its process."""
        return windows_parse.listeners(self._say(LISTENERS))

    def route_to(self, address: str) -> Route:
        """How Windows would send to `address` now; kind `local` means that it never leaves the host."""
        return windows_parse.route(self._say(ROUTE.replace("ADDRESS", quoted(str(ip_address(address))), 1)))

    def weak_hosts(self) -> list[WeakHost]:
        """Weak-host send and receive and forwarding of every IPv4 interface: what rp_filter is on Linux (facts DSN-16)."""
        return windows_parse.weak_hosts(self._say(WEAK_HOSTS))

    def firewall_profiles(self) -> list[FirewallProfile]:
        """Domain, Private and Public, as they are in force."""
        return windows_parse.profiles(self._say(PROFILES))

    def firewall_rules(self, ports: Sequence[int]) -> list[FirewallRule]:
        """The enabled inbound TCP rules in force that name one of these ports, or any."""
        return windows_parse.rules(self._say(RULES.replace("PORTS", "@(" + ",".join(f"{port:d}" for port in ports) + ")", 1)))

    def service(self, name: str) -> Service:
        """A service's state. Raises Unusable when there is none of that name."""
        found = windows_parse.service(self._say(SERVICE.replace("NAME", quoted(name), 1)))
        if found is None:
            raise Unusable(f"{self.name}: there is no service {name}; is it installed there, and is that its short name?")
        return found

    def start_service(self, name: str) -> None:
        """Start it and wait until Windows says that it runs. Raises CommandFailed."""
        self._say(f"Start-Service -Name {quoted(name)}")

    def stop_service(self, name: str) -> None:
        """Stop it, with those that depend on it. Raises CommandFailed."""
        self._say(f"Stop-Service -Name {quoted(name)} -Force")

    def events(
        self, begin: float, end: float, *, source: str | None = None, logs: Sequence[str] = ("Application", "System"), most: int = 1000
    ) -> list[Event]:
        """The event log from `begin` to `end`, seconds since the epoch on the host's clock: the newest `most` entries, oldest first."""
        if not 0 < most <= EVENTS_AT_MOST:
            raise BadUse(f"events: at most {EVENTS_AT_MOST} entries at once, and at least one; not {most}")
        script = (
            EVENTS.replace("LOGS", ",".join(map(quoted, logs)), 1)
            .replace("BEGIN", f"{int(begin * 1000):d}", 1)
            .replace("END", f"{int(end * 1000):d}", 1)
            .replace("SOURCE", f"\nProviderName={quoted(source)}" if source else "", 1)
            .replace("MOST", f"{most:d}", 1)
        )
        return windows_parse.events(self._say(script))

    def hostname(self) -> str:
        """The name without its domain."""
        return self._say("[Net.Dns]::GetHostName()").strip().partition(".")[0]

    def boot_id(self) -> str:
        """Differs after every boot: the moment of the last one."""
        return f"{windows_parse.number(self._say(BOOTED)):.0f}"

    def process_start(self, pid: int) -> float | None:
        """When a process started, in seconds since the host's epoch; None when there is none."""
        result = self._run(STARTED.replace("PID", f"{pid:d}", 1))
        return None if result.exit == 44 else windows_parse.number(self._ok(result).out) / 1000

    def offset(self) -> tuple[float, float]:
        """How many seconds the host's wall clock is ahead of the harness's, and how wrong this may be at most.

        The best of five askings of one script, because PowerShell takes long to start; each is right to half its round trip.
        """
        process = self.host.start(CLOCK)
        guard = threading.Timer(self._limit, process.close)
        guard.daemon = True
        guard.start()
        try:
            found = [self._asked(process) for _ in range(5)]
        except OSError as error:
            raise HostUnreachable(f"{self.name}: its clock could not be asked: {error}") from error
        finally:
            guard.cancel()
            process.close()
        return min(found, key=lambda seen: seen[1])

    def _asked(self, process) -> tuple[float, float]:
        asked = time.time()
        process.send(b"\n")
        line = b""
        while not line.endswith(b"\n"):
            data = process.recv(4096)
            if not data:
                raise HostUnreachable(
                    f"{self.name}: its clock was not told within {self._limit:g} s; it said: {line.decode('utf-8', 'replace')}"
                )
            line += data
            if len(line) > LINE_AT_MOST:
                raise NotReadable(f"{self.name}: its clock was answered with a line without end")
        answered = time.time()
        said = windows_parse.number(line.decode("utf-8", "replace"))
        return said - (asked + answered) / 2, (answered - asked) / 2

    def _say(self, script: str) -> str:
        return self._ok(self._run(script)).out

    def _run(self, script: str) -> CommandResult:
        result = self.host.run(script, limit=self._limit)
        if result.exit in (127, 9009) or (not result.ok and f"'{EXE}'" in result.err):
            raise Unusable(
                f"{self.name}: `{EXE}` does not start there ({result.err.strip()[:200]}); is it Windows, and is PowerShell on its PATH?"
            )
        return result

    @staticmethod
    def _ok(result: CommandResult) -> CommandResult:
        if not result.ok:
            raise CommandFailed(replace(result, command=shortened(result.command)))
        return result


__all__ = ["Event", "FirewallProfile", "FirewallRule", "Service", "WeakHost", "WindowsHost", "WindowsListener"]

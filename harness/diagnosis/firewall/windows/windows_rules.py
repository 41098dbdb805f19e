"""Windows Firewall as data: profiles, NICs and rules. What is None was not told. Pure."""

from __future__ import annotations

from dataclasses import dataclass

ANY = ("Any",)
Words = tuple[str, ...]


@dataclass(frozen=True)
class Profile:
    """Domain, Private or Public. `inbound` and `outbound` are what befalls what no rule names: Block, Allow or NotConfigured (which
    blocks what comes in, and lets out what goes: WNET-03).

    `inbound_rules` False: every inbound rule is ignored; `local_rules` False: only group policy's rules count; `left_alone` are NICs
    that the firewall does not touch. `stealth`: is there no answer for a port without a listener (WNET-13)?
    """

    name: str
    enabled: bool | None = None
    inbound: str | None = None
    outbound: str | None = None
    inbound_rules: bool | None = None
    local_rules: bool | None = None
    left_alone: Words | None = None
    stealth: bool | None = None

    def default_action(self, inbound: bool) -> bool | None:
        """What it does with what no rule names."""
        action = self.inbound if inbound else self.outbound
        if action is None:
            return None
        return {"allow": True, "block": False}.get(action.lower(), not inbound)


@dataclass(frozen=True)
class Nic:
    """`category` is the network's: Public, Private or DomainAuthenticated (WNET-04); `kind` is Wired, Wireless or RemoteAccess;
    `addresses` as `10.20.1.11/24`."""

    alias: str
    category: str | None = None
    kind: str | None = None
    addresses: Words | None = None

    @property
    def profile(self) -> str | None:
        """The profile that applies to the NIC; None where its network's category is not known."""
        return None if self.category is None else self.category.removesuffix("Authenticated")


@dataclass(frozen=True)
class Rule:
    """One rule with what its filter objects say (WNET-09, WNET-36); all must match. `local`: is it the machine's own, and not group
    policy's? `enforced` False: Windows says that it has no effect (WNET-34). `authenticated`: does it ask for IPsec?
    """

    name: str
    inbound: bool | None
    action: str
    profiles: Words | None
    protocol: str | None = None
    local_ports: Words | None = None
    remote_ports: Words | None = None
    local_addresses: Words | None = None
    remote_addresses: Words | None = None
    program: str | None = None
    service: str | None = None
    nics: Words | None = None
    nic_kinds: Words | None = None
    local: bool | None = None
    enforced: bool = True
    authenticated: bool | None = None

    @property
    def blocks(self) -> bool:
        """Whether the rule blocks."""
        return self.action == "Block"

    @property
    def bypasses(self) -> bool:
        """It is stronger than a block, and demands IPsec (WNET-10)."""
        return self.action == "AllowBypass"

    def __str__(self) -> str:
        return f"the {'inbound' if self.inbound is not False else 'outbound'} rule “{self.name}” ({self.action})"


@dataclass(frozen=True)
class Owner:
    """Whose socket it is at this host: the program's path (`System` for the kernel), and the service that it runs; "" where it is none."""

    program: str | None = None
    service: str | None = None


@dataclass(frozen=True)
class WindowsFirewall:
    """`not_told`: why some rules, or their whole shape, could not be read, in which case nothing is sure to pass."""

    profiles: tuple[Profile, ...]
    rules: tuple[Rule, ...]
    nics: tuple[Nic, ...] = ()
    not_told: str = ""

    def nic(self, alias: str | None) -> Nic | None:
        """The NIC of that alias, in any case of letters."""
        return next((n for n in self.nics if alias is not None and n.alias.lower() == alias.lower()), None)

"""A NIC of the active node goes down; its link, the node's own addresses and its routes come back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded, Inconclusive
from harness.disrupt.bases.host_fault_base import SBIN, OnHost
from harness.disrupt.bases.host_silence import is_silent
from harness.disrupt.disruption import BY_FAILURE, Effect, both
from harness.disrupt.network.probe_blocked import STAYS_OUT, allowance_without_probes, lacks_hc_timeout, never_missed
from harness.expectations import outage_budget
from harness.hosts.deadman.deadman_switch import Script
from harness.hosts.host import HostUnreachable
from harness.hosts.root_rights import as_root
from harness.hosts.windows.scheduled_undo import NAME, Deed, WindowsChange, effect_in_force

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from harness.cluster.cluster_under_test import ClusterUnderTest

SILENT_LOOK_S = 2.0  # two such looks without an answer say that the harness was cut off

# A link that goes down takes no IPv4 address away, and no permanent IPv6 address where the kernel is told so. What is missing then
# was taken by somebody: by the cluster manager, whose word it is where its addresses belong, or by what manages the NIC, which is
# told to apply its settings again. Only the node's own addresses of the cluster file are put back by hand, as they were.
# Routes do go with the link. Left alone are those of the kernel, of router advertisements and of routing daemons, which come back by
# themselves, and those from an address that the node has no longer.
# What would not come back, and is not put back here: static routes of a device above the NIC (a VLAN goes down with it and loses them), a
# static IPv6 address there, and multipath routes all of whose hops are on them. There it is not done.
_SHELL = r"""
own() {
  ip -o -4 addr show dev "$1" | awk '{
    split($4, a, "/"); if (index(" OWN ", " " a[1] " ") == 0) next
    words = $4
    for (i = 5; i <= NF; i++) {
      if ($i ~ /^(brd|scope|metric)$/) { words = words " " $i " " $(i + 1); i++ }
      else if ($i == "noprefixroute") words = words " noprefixroute"
      else if ($i ~ /_lft$/) { n = $(i + 1); sub(/sec$/, "", n); words = words " " $i " " n; i++ }
    }
    print words
  }'
}
others() { ip -o addr show dev "$1" scope global | awk '{ split($4, a, "/"); if (index(" OWN ", " " a[1] " ") == 0) print $4 }'; }
routes() {
  ip -o "-$2" route show table all dev "$1" | awk -v family="$2" '
    / table local| proto ra| expires | proto (bird|zebra|bgp|ospf|isis|rip|eigrp|babel|gated|openr|xorp|keepalived)( |$)|nexthop/ { next }
    /^(local|broadcast|multicast|anycast|fe80|ff00)/ { next }
    / proto kernel/ {
      if (family == 6) next
      src = $0; sub(/.* src /, "", src); sub(/ .*/, "", src)
      if (index(" OWN ", " " src " ") == 0) next
    }
    { gsub(/ linkdown| dead| pref medium| +$/, ""); print }'
}
above() { ip -o link show | sed -n "s/^[0-9]*: \([^@ ]*\)@$1:.*/\1/p"; }
lost_for_good() {
  these=" $1 "
  for up in $(above "$1"); do
    these="$these$up "
    for f in 4 6; do routes "$up" $f | sed "s|^|the route |; s|\$| on $up|"; done
    ip -o -6 addr show dev "$up" scope global permanent | awk -v up="$up" '{ print "the address " $4 " on " up }'
  done
  for f in 4 6; do
    ip -o -$f route show table all | awk -v these="$these" '
      !/nexthop/ { next }
      { others = 0; for (i = 1; i < NF; i++) if ($i == "dev" && index(these, " " $(i + 1) " ") == 0) others = 1 }
      !others { print "the multipath route " $1 }'
  done
}
word() { printf '%s\n' "$1" | sed -n "s/.* $2 \([^ ]*\).*/\1/p"; }  # the word after that one in a route
wanted() { src=$(word "$1" src); [ -z "$src" ] || ip -o addr show to "$src" | grep -q .; }
missing() {
  while read -r a; do ip -o -4 addr show dev "$1" to "${a%%/*}" | grep -q . || echo "$a"; done <"$d/own"
}
unrouted() {
  while read -r r; do
    table=$(word "$r" table) metric=$(word "$r" metric)
    wanted "$r" || continue
    ip "-$2" route show exact "${r%% *}" table "${table:-main}" dev "$1" | grep -qF -- "${metric:+metric $metric}" || echo "$r"
  done <"$d/routes$2"
}
"""
_DOWN = """
dev=$(ip -o -4 addr show to ADDRESS | awk '{ print $2; exit }')
[ -n "$dev" ] || { echo "no NIC has ADDRESS" >&2; exit 1; }
lost=$(lost_for_good "$dev") || exit 1
[ -z "$lost" ] || { echo "$dev would come back without $(printf '%s' "$lost" | tr '\n' ';'); nothing was done" >&2; exit 1; }
own "$dev" >"$d/own" && others "$dev" >"$d/others" && routes "$dev" 4 >"$d/routes4" && routes "$dev" 6 >"$d/routes6" || exit 1
nmcli -g GENERAL.STATE device show "$dev" 2>/dev/null | grep -q '^100' && : >"$d/by-nm"
networkctl status "$dev" 2>/dev/null | grep -q 'State:.*(configured)' && : >"$d/by-networkd"
echo "$dev" >"$d/dev" && [ -s "$d/dev" ] || exit 1
keep=/proc/sys/net/ipv6/conf/$dev/keep_addr_on_down
if [ -w "$keep" ]; then cat "$keep" >"$d/keep" && echo 1 >"$keep"; fi
ip link set dev "$dev" down
"""
_UP = """
[ -s "$d/dev" ] || exit 0
read -r dev <"$d/dev"
ip link set dev "$dev" up || exit 1
if [ -s "$d/keep" ]; then cat "$d/keep" >"/proc/sys/net/ipv6/conf/$dev/keep_addr_on_down"; fi
for n in 1 2 3 4 5 6 7 8; do  # seconds
  { [ -e "$d/by-nm" ] || [ -e "$d/by-networkd" ]; } && [ -n "$(missing "$dev")" ] || break
  if [ $n = 3 ] && [ -e "$d/by-nm" ]; then nmcli device connect "$dev" >/dev/null 2>&1; fi
  if [ $n = 3 ] && [ -e "$d/by-networkd" ]; then networkctl reconfigure "$dev" >/dev/null 2>&1; fi
  sleep 1
done
missing "$dev" | while read -r a; do ip addr replace $a dev "$dev"; done
for again in 1 2; do  # a route through a gateway needs the one to the gateway first
  for f in 4 6; do unrouted "$dev" $f | while read -r r; do ip -$f route replace $r dev "$dev" 2>/dev/null; done; done
done
others "$dev" | grep -vxF -f - "$d/others" |
  sed "s|.*|note: $dev had & before and has it no longer; it is not this node's own, so it was not put back|"
exit 0
"""
_WHOLE = """
[ -s "$d/dev" ] || exit 0
read -r dev <"$d/dev"
for n in 1 2 3 4 5 6 7 8 9 10; do
  left=$(ip -o link show dev "$dev" up | grep -q . || echo "the link is down"
    missing "$dev"; unrouted "$dev" 4; unrouted "$dev" 6)
  [ -z "$left" ] && exit 0
  sleep 0.3
done
echo "$dev has not come back as it was: $left"; exit 1
"""


_LOOK = """
dev=$(ip -o -4 addr show to ADDRESS | awk '{ print $2; exit }')
[ -z "$dev" ] || lost_for_good "$dev"
"""


def _fill_in(text: str, address: str, own_addresses: tuple[str, ...]) -> str:
    return (_SHELL + text).replace("ADDRESS", address).replace("OWN", " ".join(own_addresses))


def what_would_be_lost(address: str, own_addresses: tuple[str, ...]) -> str:
    """Shell that prints what the NIC with `address` would come back without, a line each."""
    return _fill_in(_LOOK, address, own_addresses)


def nic_script(address: str, own_addresses: tuple[str, ...]) -> Script:
    """The NIC that has `address` goes down; `own_addresses` are all that are the node's itself, whatever the cluster manager does."""

    return Script(*(_fill_in(text, address, own_addresses) for text in (_DOWN, _UP, _WHOLE)))


class _NicDown(OnHost):
    takes_away = True  # the harness may reach it by that NIC only
    cuts = True
    _change: WindowsChange | None = None
    needs = BY_FAILURE
    failures = 1
    on_windows = ""

    @property
    def _address(self) -> IPv4Address:
        return getattr(self._subject.cluster.node(self._node), self.takes_nic)

    def script(self, id: str) -> Script:
        return nic_script(str(self._address), self._own_addresses)

    @property
    def severs(self) -> bool:  # type: ignore[override]  # a matter of how the harness reaches the host
        """False where the harness is known to reach the node by its other NIC; by which a name or an outer address leads is not known."""
        node = self._subject.cluster.node(self._node)
        reached = node.ssh.host or str(node.address)
        return reached not in self._own_addresses or reached == str(self._address)

    def _is_cut_off(self) -> bool:
        """A node that is reached by its other NIC is busy when it does not answer, and proves nothing."""
        return self.severs and is_silent(self._subject.hosts[self._node], look_s=SILENT_LOOK_S)

    @property
    def _own_addresses(self) -> tuple[str, str]:
        node = self._subject.cluster.node(self._node)
        return str(node.address), str(node.second_address)

    def skip_reason(self) -> str | None:
        if not self.by_script:
            line = what_would_be_lost(str(self._address), self._own_addresses)
            lost = self._subject.hosts[self._node].run(as_root(SBIN + line)).out.split("\n")
            lost = [thing for thing in lost if thing]
            return f"{self._node}: the NIC would come back without {'; '.join(lost)}" if lost else None
        if why := self.cannot_undo():
            return why
        nic = self._nic()
        return (
            None if NAME.fullmatch(nic) else f"{self._node}: the program that would enable the NIC again cannot be given its name {nic!r}"
        )

    def deed(self, token: str) -> tuple[WindowsChange, Deed]:
        self._change = WindowsChange("nic", nic=self._nic(), address=str(self._address))
        return self._change, Deed("nic-down", {"Nic": self._change.nic, "Address": self._change.address})

    def _nic(self) -> str:
        """The name of the adapter that has the address. Raises Inconclusive when none has."""
        interfaces = [a.interface for a in self._subject.facts[self._node].addresses() if a.address == str(self._address)]
        if len(interfaces) != 1:
            raise Inconclusive(f"{self._node}: one NIC should have {self._address}; {' and '.join(interfaces) or 'none'} has")
        return interfaces[0]

    def took_effect(self, deadline: Deadline) -> None:
        """The link is seen to be down, or the host cannot be reached any more, because it was reached through that NIC."""
        if self.by_script:
            self._wait_until_disabled(deadline)
            return
        down = f"! ip -o -4 addr show to {self._address} up | grep -q ."

        def is_down() -> bool:
            try:
                return self._is_cut_off() or self._holds_on_target(down, deadline)
            except (HostUnreachable, DeadlineExceeded):  # looked at again
                return False

        deadline.wait_for(is_down, what=f"the NIC with {self._address} on {self._node} going down")

    def _wait_until_disabled(self, deadline: Deadline) -> None:
        """The adapter is disabled by Windows' own word, or the host is silent."""
        host, change = self._subject.hosts[self._node], self._change
        assert change is not None  # it was begun

        def is_down() -> bool:
            if self._is_cut_off():
                return True
            try:
                return effect_in_force(host, change, limit=max(deadline.within(10.0), 1.0))[0]
            except (HostUnreachable, DeadlineExceeded):
                return False

        deadline.wait_for(is_down, what=f"{change.nic} on {self._node} being disabled", every=0.2)


class NicDownSubnet1(_NicDown):
    """No probe and no client reaches the node; the cluster notices by the probe that stays away (facts LKL-59), and moves over the
    communication path in Subnet#2. The node that was active has no way to the VIP then, until its NIC is back. Where probes are never
    missed (Pacemaker with azure-lb), nothing moves, and clients stay out for as long as it lasts."""

    name = "NIC down Subnet#1"
    sentence = "the active node's NIC in Subnet#1 goes down: clients, probes and one communication path are gone"
    takes_nic = "address"
    moves = True
    expects = both(Effect.RECOVERS, Effect.RECOVERS, Effect.OUT)

    def __init__(self, subject: ClusterUnderTest) -> None:
        super().__init__(subject)
        if never_missed(subject.cluster):
            self.moves, self.expects = False, STAYS_OUT

    def allowance(self) -> outage_budget.Allowance:
        return allowance_without_probes(self._subject.cluster)

    def skip_reason(self) -> str | None:
        return lacks_hc_timeout(self._subject.cluster) or super().skip_reason()


class NicDownSubnet2(_NicDown):
    """The IP resource's link check fails (facts LKL-52, TRP-09), and a link cannot be mended locally, so everything goes over (LKL-42).
    With the link check off (IP_NOLINKCHECK=1) it stays: an address serves its own node and the balancer without a link."""

    name = "NIC down Subnet#2"
    sentence = "the active node's NIC in Subnet#2 goes down, the one that holds the VIP; one communication path is gone"
    takes_nic = "second_address"
    expects = both(Effect.RECOVERS, Effect.RECOVERS, Effect.RECOVERS)

    @property
    def lasts_s(self) -> float:
        """Nothing is out at once, so it must last until the next check has seen it."""
        return 2.0 + self._subject.cluster.manager.check_interval_s

    def allowance(self) -> outage_budget.Allowance:
        return outage_budget.service_crash(self._subject.cluster)

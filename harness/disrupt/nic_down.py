"""A NIC of the active node goes down; link, addresses and routes come back as they were saved before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import budget
from harness.deadline import Deadline
from harness.disrupt.base import Effect, both, register
from harness.disrupt.deadman import Script
from harness.disrupt.on_host import OnHost
from harness.disrupt.probe_blocked import STAYS_OUT, allowance_without_probes, lacks_hc_timeout, never_missed

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from harness.subject import Subject

# What the kernel makes by itself is left to it. The VIP is never put back: where it belongs by now is the cluster manager's word.
_SHELL = """
addresses() { ip -o addr show dev "$1" scope global | awk '{ print $4 }' | grep -v '^VIP/'; }
routes() { ip "-$2" route show table all dev "$1" | grep -v -e 'table local' -e '^fe80' -e '^ff00' -e '^multicast' |
  sed -e 's/ linkdown//; s/ dead//; s/ pref medium//; s/ *$//'; }
"""
_DOWN = """
dev=$(ip -o -4 addr show to ADDRESS | awk '{ print $2; exit }')
[ -n "$dev" ] || { echo "no NIC has ADDRESS" >&2; exit 1; }
addresses "$dev" >"$d/addresses"; routes "$dev" 4 >"$d/routes4"; routes "$dev" 6 >"$d/routes6"; echo "$dev" >"$d/dev"
ip link set dev "$dev" down
"""
_UP = """
[ -s "$d/dev" ] || exit 0
read -r dev <"$d/dev"
ip link set dev "$dev" up || exit 1
while read -r a; do addresses "$dev" | grep -qxF "$a" || ip addr add "$a" dev "$dev"; done <"$d/addresses"
for again in 1 2; do  # a route through a gateway needs the one to the gateway first
  for f in 4 6; do
    while read -r r; do routes "$dev" $f | grep -qxF "$r" || ip -$f route replace $r dev "$dev" 2>"$d/why"; done <"$d/routes$f"
  done
done
exit 0
"""
_WHOLE = """
[ -s "$d/dev" ] || exit 0
read -r dev <"$d/dev"
for n in 1 2 3 4 5 6 7 8 9 10; do
  left=$(ip -o link show dev "$dev" up | grep -q . || echo "the link is down"
    addresses "$dev" | grep -vxF -f - "$d/addresses"
    for f in 4 6; do { routes "$dev" $f; echo "-"; } | grep -vxF -f - "$d/routes$f"; done)
  [ -z "$left" ] && exit 0
  sleep 0.3
done
echo "$dev has not come back as it was: $left $(cat "$d/why" 2>/dev/null)"; exit 1
"""


class _NicDown(OnHost):
    takes_away = True  # the harness may reach it by that NIC only
    severs = True
    which: str  # the attribute of a node that tells the NIC's address

    @property
    def _address(self) -> IPv4Address:
        return getattr(self._subject.cluster.node(self._node), self.which)

    def script(self, id: str) -> Script:
        def filled(text: str) -> str:
            return (_SHELL + text).replace("ADDRESS", str(self._address)).replace("VIP/", f"{self._subject.cluster.vip}/")

        return Script(filled(_DOWN), filled(_UP), filled(_WHOLE))

    def took_effect(self, deadline: Deadline) -> None:
        """The link is seen to be down, or the host cannot be reached any more, because it was reached through that NIC."""
        host = self._subject.hosts[self._node]
        down = f"! ip -o -4 addr show to {self._address} up | grep -q ."

        def seen() -> bool:
            return not host.alive(limit=2.0) or self._there(down, deadline)

        deadline.wait_for(seen, what=f"the NIC with {self._address} on {self._node} going down")


@register
class NicDownSubnet1(_NicDown):
    """No probe and no client reaches the node; the cluster notices by the probe that stays away (facts LKL-59), and moves over the
    communication path in Subnet#2. The node that was active has no way to the VIP then, until its NIC is back. Where probes are never
    missed (Pacemaker with azure-lb), nothing moves, and clients stay out for as long as it lasts."""

    name = "NIC down Subnet#1"
    sentence = "the active node's NIC in Subnet#1 goes down: clients, probes and one communication path are gone"
    which = "address"
    moves = True
    expects = both(Effect.RECOVERS, Effect.RECOVERS, Effect.OUT)

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        if never_missed(subject.cluster):
            self.moves, self.expects = False, STAYS_OUT

    def allowance(self) -> budget.Allowance:
        return allowance_without_probes(self._subject.cluster)

    def lacks(self) -> str | None:
        return lacks_hc_timeout(self._subject.cluster)


@register
class NicDownSubnet2(_NicDown):
    """The IP resource's link check fails (facts LKL-52, TRP-09), and a link cannot be mended locally, so everything goes over (LKL-42).
    With the link check off (IP_NOLINKCHECK=1) it stays: an address serves its own node and the balancer without a link."""

    name = "NIC down Subnet#2"
    sentence = "the active node's NIC in Subnet#2 goes down, the one that holds the VIP; one communication path is gone"
    which = "second_address"
    expects = both(Effect.RECOVERS, Effect.RECOVERS, Effect.RECOVERS)

    @property
    def lasts_s(self) -> float:
        """Nothing is out at once, so it must last until the next check has seen it."""
        return 2.0 + self._subject.cluster.manager.check_interval_s

    def allowance(self) -> budget.Allowance:
        return budget.service_crash(self._subject.cluster)

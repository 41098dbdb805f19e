"""The IP resource: lost behind the manager's back, and taken out of service by its word (the negative control of facts HAIR-08)."""

from __future__ import annotations

from harness.core.deadline import Deadline
from harness.disrupt.bases.host_fault_base import SBIN, OnHost
from harness.disrupt.disruption import BY_FAILURE, Effect, Step, by_design, paths
from harness.expectations import outage_budget
from harness.hosts.deadman.deadman_switch import Script
from harness.hosts.root_rights import as_root
from harness.managers.manager import Question

# Addresses for which this one is the first of its subnet on its NIC: with it the kernel deletes them, or, with promote_secondaries, lets
# one of them be the first from then on.
_BESIDES = """
set -- $(ip -o -4 addr show to VIP | grep -v ' secondary ')
[ -z "$4" ] || ip -o -4 addr show dev "$2" to "$4" secondary | awk '{ printf "%s%s", sep, $4; sep = " " }'
"""
_LOSE = """
set -- $(SHOWN); [ -n "$4" ] || { echo "the VIP is not here" >&2; exit 1; }
besides=$( BESIDES ); [ -z "$besides" ] || { echo "WOULD_GO" >&2; exit 1; }
dev=$2 address=$4
words=$(SHOWN | awk '{
  words = $4
  for (i = 5; i <= NF; i++) {
    if ($i ~ /^(brd|scope|metric)$/) { words = words " " $i " " $(i + 1); i++ }
    else if ($i == "noprefixroute") words = words " noprefixroute"
    else if ($i ~ /_lft$/) { n = $(i + 1); sub(/sec$/, "", n); words = words " " $i " " n; i++ }
    else if (index($i, $2 ":") == 1) { label = $i; sub(/.$/, "", label); words = words " label " label }
  }
  print words; exit }')
echo "$dev $words" >"$d/address" && [ -s "$d/address" ] && ip addr del "$address" dev "$dev" && [ -z "$(SHOWN)" ]
"""
_FOUND = """
[ -e "$d/address" ] || exit 0
read -r dev words <"$d/address"
if [ -z "$(SHOWN)" ] && HERE; then ip addr replace $words dev "$dev"; fi
"""


def lost_script(vip: str, here: str) -> Script:
    """The VIP is deleted; it is put back while `here`, a line of shell, says by its exit 0 that the manager wants it on this node."""
    would_go = _would_go("$besides")

    def fill_in(text: str) -> str:
        script = text.replace("BESIDES", _other_addresses_line(vip)).replace("WOULD_GO", would_go)
        return script.replace("SHOWN", f"ip -o -4 addr show to {vip}").replace("HERE", f"{{ {here}; }}")

    check = '[ -n "$(SHOWN)" ] || ! HERE || { echo "the VIP is not back"; exit 1; }'
    return Script(fill_in(_LOSE), fill_in(_FOUND), fill_in(check))


def _other_addresses_line(vip: str) -> str:
    return _BESIDES.replace("VIP", vip)


def _would_go(addresses: str) -> str:
    return f"the VIP is the first address of its subnet on its NIC, and {addresses} would be deleted with it; give the VIP a prefix of /32"


class IpResourceLost(OnHost):
    """In the nat design only the inside path needs the address, in the floating design every path does (facts N2, F2). The check finds
    it gone and local recovery puts it back (LKL-42), at once or never: the host puts it back only while the manager wants it here."""

    on_windows = "an address that a manager holds cannot be given back there just as it was (facts WNET-46, 47)"
    name = "IP resource lost"
    sentence = "the VIP is deleted from the active node's NIC behind the cluster manager's back"
    needs = BY_FAILURE
    failures = 1
    moves = False
    expects = by_design(
        paths(Effect.UNTOUCHED, Effect.RECOVERS, Effect.UNTOUCHED), paths(Effect.RECOVERS, Effect.RECOVERS, Effect.RECOVERS)
    )
    runs_with = frozenset({"one comm path cut"})

    def allowance(self) -> outage_budget.Allowance:
        return outage_budget.service_crash(self._subject.cluster)

    def script(self, id: str) -> Script:
        return lost_script(str(self._subject.cluster.vip), self._subject.manager.in_service_test(self._subject.cluster.ip_resource.tag))

    def skip_reason(self) -> str | None:
        others = self._subject.hosts[self._node].run(as_root(SBIN + _other_addresses_line(str(self._subject.cluster.vip)))).out.split()
        return f"{self._node}: {_would_go(' '.join(others))}" if others else None

    def took_effect(self, deadline: Deadline) -> None:
        """The host looked right after deleting it; by now the manager may have put it back."""


class IpResourceOut(OnHost):
    """Everything but the IP resource stays. What is set in the cluster's configuration for it is removed from either node, whatever has
    become of the resource. Where nothing is set, the deadman puts it back only where the services still are: elsewhere it would move it."""

    on_windows = "nobody there would take it in again if the harness were killed meanwhile"
    name = "IP resource out"
    sentence = "the IP resource is taken out of service, everything else stays"
    needs = frozenset({Question.TOLD})
    self_stabilizes = False
    moves = False
    expects = by_design(paths(Effect.UNTOUCHED, Effect.OUT, Effect.UNTOUCHED), paths(Effect.OUT, Effect.OUT, Effect.OUT))

    @property
    def lasts_s(self) -> float:
        return 2.0

    def allowance(self) -> outage_budget.Allowance:
        return outage_budget.switchover(self._subject.cluster)

    def skip_reason(self) -> str | None:
        return self._subject.manager.stays_in(self._subject.cluster.ip_resource.tag, self._node) or None

    def script(self, id: str) -> Script:
        cluster, manager = self._subject.cluster, self._subject.manager
        if settings := manager.out_settings:
            return Script(":", *settings)
        out = f"{{ {manager.in_service_test(cluster.services[0].tag)}; }} && ! {{ {manager.in_service_test(cluster.ip_resource.tag)}; }}"
        return Script(":", f"if {out}; then {manager.put_back_line(cluster.ip_resource.tag)}; fi; exit 0", f"! {{ {out}; }}")

    def steps(self) -> list[Step]:
        tag = self._subject.cluster.ip_resource.tag
        lines = self._subject.manager.take_out_lines(tag, self._node)
        undo = [s for s in super().steps() if s.phase == "undo"]
        if self._subject.manager.out_settings:
            undo += [Step(self._subject.standby_of(self._node), s.phase, s.command) for s in undo]
        return [*(Step(self._node, "do", line) for line in lines), *undo]

    def begin(self, deadline: Deadline) -> None:
        if settings := self._subject.manager.out_settings:  # they are the whole cluster's, and either node may be gone by then
            undo, check = settings
            self._arm(self._subject.standby_of(self._node)).do(Script(":", SBIN + undo, SBIN + check), limit=deadline.within(30.0))
        super().begin(deadline)
        self.moment = None  # that was the arming
        self._subject.manager.take_out(self._subject.cluster.ip_resource.tag, self._node, deadline=deadline)

    def took_effect(self, deadline: Deadline) -> None:
        deadline.wait_for(lambda: not self._subject.holders_of_vip(), what=f"{self._subject.cluster.vip} leaving every NIC")

    def undo(self, deadline: Deadline) -> None:
        was_begun = bool(self._armed)
        super().undo(deadline)
        if was_begun:
            subject = self._subject

            def is_back() -> bool:
                """On the node where the services are by now."""
                return set(subject.holders_of_vip()) == {subject.state(limit=max(deadline.within(10.0), 1.0)).leading}

            deadline.wait_for(is_back, what=f"{subject.cluster.vip} being back where the services are")

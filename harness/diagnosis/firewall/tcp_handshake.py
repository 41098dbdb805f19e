"""Whether a TCP connection can be opened past one host's firewall: the SYN, what answers it, and what follows. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from harness.diagnosis.firewall.packet import EPHEMERAL, Decision, Outcome, Packet
from harness.diagnosis.firewall.packet_state import STATES, Flow
from harness.diagnosis.firewall.partial_values import Value, unknown
from harness.diagnosis.firewall.ruleset_evaluation import Ruleset, decide, exemptions

# Of an ICMP error: its code (RFC 792, RFC 1812).
CODES = {
    "net-unreachable": 0, "host-unreachable": 1, "prot-unreachable": 2, "port-unreachable": 3, "net-prohibited": 9, "host-prohibited": 10,
    "admin-prohibited": 13,
}  # fmt: skip


@dataclass(frozen=True)
class Opening:
    """`packet` is the first of the connection's packets that does not surely pass (the last one where all do), `decision` what befalls it.

    `heard` is what the one who connects gets: `answer`, `tcp reset`, `icmp …`, `silence`, or "" where that cannot be told.
    `port` is where the SYN arrives in the end, another one than asked where a rule redirects it; None where it is not known.
    """

    packet: Packet
    decision: Decision
    heard: str
    port: int | None = None
    what: str = "the SYN"  # which packet it is, in words

    @property
    def passes(self) -> bool | None:
        """Whether the connection can be opened; None where that cannot be told."""
        return self.decision.passes


def opening(ruleset: Ruleset, syn: Packet, *, back: str | None = None, uid: int | None = None) -> Opening:
    """Follows the SYN, its SYN-ACK (by the NIC `back`, else the one the SYN came by; sent by a socket of `uid`), and the ACK."""
    decision, after = decide(ruleset, syn)
    port = syn.destination_port if isinstance(syn.destination_port, int) else None
    if decision.passes is not True or after is None:
        return _blocked(ruleset, syn, decision, after, back)
    port = after.known_number("dport") if syn.hook == "input" else port
    answer = replace(syn.answer(back, uid), source_port=syn.destination_port if port is None else port)
    if after.known_number("ct state") == STATES["untracked"]:
        answer = replace(answer, state="invalid", flags=("syn", "ack"), reply=True)
    carried: dict[str, Value] = {"ct mark": after.get("ct mark")}
    if decision.changed:
        carried["ct status"] = unknown("whether its connection is translated")
    if decision.changed and syn.hook == "input" and port is None:
        answer = replace(answer, source_port=EPHEMERAL)
    answer_decision, after = decide(ruleset, answer, carried)
    if answer_decision.passes is not True or after is None:
        return Opening(answer, answer_decision, "silence" if answer_decision.passes is False else "", port, "the answer")
    if decision.changed and (lost := _not_translated_back(ruleset, answer, after)) is not None:
        return Opening(answer, lost, "silence" if lost.passes is False else "", port, "the answer")
    last = replace(syn, state="established" if answer.state == "established" else "invalid", flags=("ack",), reply=False)
    last_decision, _ = decide(ruleset, last, {"ct mark": after.get("ct mark")})
    if last_decision.passes is not True:
        return Opening(last, last_decision, "answer", port, "what follows the answer")
    return Opening(answer, decision, "answer", port, "the answer")


def _not_translated_back(ruleset: Ruleset, answer: Packet, after: Flow) -> Decision | None:
    """The answer of a connection that was given another destination gets its own address and port back by connection tracking alone. One
    that is exempt from that comes from somebody whom nobody asked, and is not taken for an answer."""
    state = after.known_number("ct state")
    if state is not None and state != STATES["untracked"]:
        return None
    rules = " or ".join(exemptions(ruleset, answer.hook))
    why = f"{answer}: not tracked, so that it keeps the address and port that the connection was sent on to, and answers nothing"
    if state is None:
        return Decision(Outcome.CANNOT_TELL, rules, "whether what answers a translated connection is tracked", None)
    return Decision(Outcome.DROP, rules, why, False)


def _blocked(ruleset: Ruleset, syn: Packet, decision: Decision, after: Flow | None, back: str | None) -> Opening:
    """A rejection is a packet as well, which may be stopped on its way out."""
    if decision.outcome is not Outcome.REJECT or syn.hook != "input":
        return Opening(syn, decision, "silence" if decision.outcome is Outcome.DROP else "")
    if after is None or after.changed:  # whether the kernel finds the way back through its own translation
        return Opening(syn, decision, "")
    tracked = after.known_number("ct state") == STATES["new"]
    answer = replace(syn.answer(back), state="related" if tracked else "invalid", flags=("rst", "ack"), reply=True, rejects=True)
    if decision.reply.startswith("icmp "):
        code = CODES.get(decision.reply.removeprefix("icmp "))
        answer = replace(answer, protocol="icmp", icmp=None if code is None else (3, code))
    rejection, _ = decide(ruleset, answer)
    if rejection.passes is None:
        return Opening(syn, decision, "")
    return Opening(syn, decision, decision.reply if rejection.passes else "silence")

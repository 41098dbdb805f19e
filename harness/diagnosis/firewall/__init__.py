"""Would this packet pass this host's firewall, and which rule decides? Evaluated as the kernel does, not searched for words. Pure.

ruleset = parse(text)                        # of `nft -j list ruleset` and `iptables-save`
decision = evaluate(ruleset, Packet("168.63.129.16", "10.20.1.11", 12345, in_nic="eth0"))
decision.outcome, decision.rule, decision.why
"""

from harness.diagnosis.firewall.packet import ArpPacket, Decision, Outcome, Packet
from harness.diagnosis.firewall.ruleset_evaluation import Ruleset, evaluate, evaluate_arp
from harness.diagnosis.firewall.ruleset_parse import parse
from harness.diagnosis.firewall.tcp_handshake import Opening, opening

__all__ = ["ArpPacket", "Decision", "Opening", "Outcome", "Packet", "Ruleset", "evaluate", "evaluate_arp", "opening", "parse"]

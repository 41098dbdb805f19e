"""Windows Firewall: would this packet pass, and which rule decides? The same verdict as of a Linux host's firewall. Pure.

firewall = read(profiles, rules, nics)  # rows of the scripts' JSON
decision = evaluate(firewall, Packet("168.63.129.16", "10.20.1.11", 12345, in_nic="Ethernet"))
"""

from harness.diagnosis.firewall.windows.windows_evaluation import evaluate, opening
from harness.diagnosis.firewall.windows.windows_rows_parse import read
from harness.diagnosis.firewall.windows.windows_rules import Owner, WindowsFirewall

__all__ = ["Owner", "WindowsFirewall", "evaluate", "opening", "read"]

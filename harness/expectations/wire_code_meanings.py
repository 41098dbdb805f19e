"""What each wire code says of a connection's way, in words: in expectations, reports and explanations of captures.

The codes W1 to W9 are those of the expectation matrix (facts/azure-ilb section 11), W10 is what W5 is on Windows (facts WNET-13).
"""

from __future__ import annotations

MEANINGS = {
    "W1": "through the ILB, arrived at a node's private address",
    "W2": "through the ILB, arrived at a node with the VIP as destination",
    "W3": "inside the origin, on no NIC",
    "W4": "hairpin, the origin's own SYN came back as private address to private address",
    "W5": "the SYN reached a node, whose kernel sent an RST",
    "W6": "an RST inside the origin, on no NIC",
    "W7": "the SYN arrived with the VIP as destination at a node that did not answer",
    "W8": "the SYN left its origin and reached no node",
    "W9": "hairpin, the origin's own SYN came back unchanged",
    "W10": "the SYN reached a Windows node at its private address, which kept silent",
}
"""What the packets showed, as words that follow an outcome, a colon or nothing."""

"""What a host printed of its firewall, whichever tools were there, as one ruleset. Pure."""

from __future__ import annotations

import json

from harness.diagnosis.firewall import nft_json
from harness.diagnosis.firewall.ruleset import Ruleset

NFT = '{"nftables"'


def parse(text: str) -> Ruleset:
    """Of what `nft -j list ruleset` and `iptables-save` printed, one behind the other. Nothing printed: no rules, everything passes.

    What cannot be read makes a ruleset that says so, by `not_told`; nothing is raised.
    """
    at = text.find(NFT)
    if at < 0:
        return Ruleset((), f"a listing of a kind that is not known: {text.strip()[:80]!r}") if text.strip() else Ruleset(())
    try:
        found, _ = json.JSONDecoder().raw_decode(text, at)
        return Ruleset(tuple(nft_json.chains(found["nftables"])))
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        return Ruleset((), f"the listing of nft cannot be read: {error}")

"""Keys of corosync.conf that Corosync does not know where they stand: misspelt, or in another section than theirs (man 5 corosync.conf).
Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

TOTEM = """version token token_warning token_coefficient token_retransmit token_retransmits_before_loss_const token_compensation hold join
    send_join consensus merge downcheck fail_recv_const seqno_unchanged_const heartbeat_failures_allowed max_network_delay window_size
    max_messages miss_count_const knet_pmtud_interval knet_mtu knet_compression_model knet_compression_threshold knet_compression_level
    crypto_model crypto_cipher crypto_hash secauth keyfile key link_mode nodeid threads netmtu transport cluster_name ip_version
    ip_dscp interface rrp_mode rrp_problem_count_timeout rrp_problem_count_threshold rrp_problem_count_mcast_threshold
    rrp_token_expired_timeout rrp_autorecovery_check_timeout clear_node_high_bit block_unlisted_ips cancel_token_hold_on_retransmit
    allow_knet_handle_fallback config_version"""
QUORUM = """provider expected_votes two_node wait_for_all last_man_standing last_man_standing_window auto_tie_breaker auto_tie_breaker_node
    allow_downscale expected_votes_tracking votes device leaving_timeout
    cancel_wait_for_all"""
SECTIONS = {"totem": frozenset(TOTEM.split()), "quorum": frozenset(QUORUM.split())}
MAX_EDITS = 2  # of letters, by which a key is still taken for a known one
MIN_LENGTH = 5  # of a known key: shorter ones are near to too many words


def unknown_keys(settings: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Section, key, and what is meant: `quorum.two_node`. Keys that are far from any known one are left alone, as a newer version's."""
    for name in settings:
        section, _, key = name.partition(".")
        known = SECTIONS.get(section)
        if known is None or not key or "." in key or key in known:
            continue
        if elsewhere := next((other for other, keys in SECTIONS.items() if key in keys), None):
            yield section, key, f"{elsewhere}.{key}"
        elif near := _nearest(key, known):
            yield section, key, f"{section}.{near}"


def _nearest(key: str, known: frozenset[str]) -> str:
    """The one known key that is at most two letters away, and the only one at that distance."""
    by_distance: dict[int, list[str]] = {}
    for word in known:
        if len(word) >= MIN_LENGTH and abs(len(word) - len(key)) <= MAX_EDITS:
            by_distance.setdefault(_edits(key.lower(), word), []).append(word)
    least = min(by_distance, default=MAX_EDITS + 1)
    return by_distance[least][0] if least <= MAX_EDITS and len(by_distance[least]) == 1 else ""


def _edits(first: str, second: str) -> int:
    """Letters to be changed, put in or taken away (Levenshtein)."""
    row = [*range(len(second) + 1)]
    for i, letter in enumerate(first, 1):
        previous, row[0] = row[0], i
        for j, other in enumerate(second, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (letter != other))
    return row[-1]

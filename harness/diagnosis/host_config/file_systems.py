"""Where file systems are mounted, and which /etc/fstab mounts at boot. Pure; no text makes it raise."""

from __future__ import annotations


def mounted(text: str) -> dict[str, str]:
    """Lines of /proc/mounts, among lines `= PID FOLDER`, which are passed over: the kind of the last one on each place."""
    lines = [line.split(" ") for line in text.splitlines()]
    return {_plain(words[1]): words[2] for words in lines if words[0] != "=" and len(words) > 3 and words[1].startswith("/")}


def at_boot(text: str) -> dict[str, str]:
    """Lines `PLACE KIND`."""
    lines = [line.split() for line in text.splitlines()]
    return {_plain(words[0]).rstrip("/"): words[1] for words in lines if len(words) == 2 and words[0].startswith("/")}


def _plain(place: str) -> str:
    return place.replace("\\040", " ")

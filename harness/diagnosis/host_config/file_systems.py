"""Where file systems are mounted, which /etc/fstab mounts at boot, and where processes work on them. Pure; no text makes it raise."""

from __future__ import annotations

from collections.abc import Iterator

READ_ONLY_BY_DESIGN = ("squashfs", "erofs", "iso9660", "cramfs", "overlay")  # file systems of packages and images


def mounted(text: str) -> dict[str, str]:
    """Lines of /proc/mounts, among lines `= PID FOLDER`, which are passed over: the kind of the last one on each place."""
    lines = [line.split(" ") for line in text.splitlines()]
    return {_plain(words[1]): words[2] for words in lines if words[0] != "=" and len(words) > 3 and words[1].startswith("/")}


def not_to_be_run(text: str) -> frozenset[str]:
    """Of the same lines the places whose file system has the option noexec: nothing that lies there can be started."""
    options: dict[str, list[str]] = {}
    for line in text.splitlines():
        words = line.split(" ")
        if words[0] != "=" and len(words) > 3 and words[1].startswith("/"):
            options[_plain(words[1])] = words[3].split(",")
    return frozenset(place for place, its in options.items() if "noexec" in its)


def at_boot(text: str) -> dict[str, str]:
    """Lines `PLACE KIND`."""
    lines = [line.split() for line in text.splitlines()]
    return {_plain(words[0]).rstrip("/"): words[1] for words in lines if len(words) == 2 and words[0].startswith("/")}


def folders(text: str) -> Iterator[tuple[int, str]]:
    """Lines `= PID FOLDER`."""
    for line in text.splitlines():
        words = line.split(" ")
        if words[0] == "=" and len(words) > 2 and words[1].isdigit():
            yield int(words[1]), " ".join(words[2:])


def read_only(text: str) -> Iterator[tuple[int, str]]:
    """Lines `= PID FOLDER`, and /proc/mounts, of which the last on a place counts: the file systems that somebody would write to."""
    mounts: dict[str, bool] = {}  # place → read-only, and not by design
    for line in text.splitlines():
        words = line.split(" ")
        if words[0] != "=" and len(words) > 3:
            place = words[1].replace("\\040", " ")
            mounts[place] = "ro" in words[3].split(",") and words[2] not in READ_ONLY_BY_DESIGN and place not in ("/", "/usr")
    for pid, folder in folders(text):
        on = max((m for m in mounts if folder == m or folder.startswith(m.rstrip("/") + "/")), key=len, default="")
        if on and mounts[on]:
            yield pid, on


def _plain(place: str) -> str:
    return place.replace("\\040", " ")

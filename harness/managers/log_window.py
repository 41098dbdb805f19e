"""A span of time cut out of a log with syslog's times. Pure, but for the line of shell that fetches it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

from harness.core.text.host_text import cut_at_word
from harness.hosts.root_rights import ALLOWED, ROOT, read_by_root
from harness.managers.manager import MAX_LOG_LENGTH, LogWindow

MAX_READ_BYTES = 2 * 1024 * 1024  # bytes of the log's end that are looked through
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
SYSLOG_TIME = re.compile(
    r"(?P<month>[A-Z][a-z]{2}) +(?P<day>\d{1,2}) (?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)(?:\.\d+)?\s",
    re.ASCII,
)
ISO_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:?\d\d)?(?=\s)", re.ASCII)
ZONE = re.compile(r"[+-]\d{4}\Z", re.ASCII)


def fetch_line(log: Path) -> str:
    """A line of shell that prints the host's time zone, the log's size with that of the file it was rotated from, and their end.

    What rotated names look like is configuration of the host: `.1` and `-DATE` are the usual two [from memory].
    """
    quoted, before = shlex.quote(str(log)), shlex.quote(f"{log}.1")
    older = f"older=$(ls -1tr {before} {quoted}-* 2>/dev/null | grep -v '\\.[gbx]z2*$' | tail -n 1)"
    rotated = f'if [ -r "$older" ]; then cat "$older"; elif [ "$older" = {before} ]; then {ROOT} cat {before}; fi'
    may = f'[ -r {quoted} ] || {{ [ -n "{ROOT}" ] && {ALLOWED} cat {quoted} >/dev/null; }}'
    readable = f"exec 2>&1; {may} || {{ ls -ld {quoted}; exit 1; }}"
    both = f"both() {{ {rotated}; {read_by_root('cat', str(log))}; }}"
    return f"{readable}; {older}; {both}; date +%z; both | wc -c; both | tail -c {MAX_READ_BYTES}"


def window(fetched: str, begin: float, end: float, most: int = MAX_LOG_LENGTH) -> LogWindow:
    """What `fetch_line` printed, cut to the span; lines without a time belong to the line above them."""
    zone_text, _, rest = fetched.partition("\n")
    size_text, _, text = rest.partition("\n")
    if not (ZONE.match(zone_text.strip()) and size_text.strip().isdecimal()):
        quoted = cut_at_word((fetched.strip().splitlines() or ["nothing"])[-1], 200)
        return LogWindow("", f"the log could not be read; the host said: {quoted}")
    zone = _parse_zone(zone_text.strip())
    cut_off = int(size_text) > MAX_READ_BYTES
    lines = text.splitlines()[1 if cut_off else 0 :]
    chosen, first = _lines_in_span(lines, zone, begin, end)
    missing = []
    if first is None and any(line.strip() for line in lines):
        missing.append("no line of the log has a time that could be read")
    if cut_off and (first is None or first > begin):
        missing.append(f"only the last {MAX_READ_BYTES} bytes of the log were looked through")
    return bounded(chosen, most, missing)


def bounded(lines: list[str], most: int, missing: list[str] | None = None) -> LogWindow:
    """The newest lines that fit into `most` characters, and a word about those that do not."""
    fitting_count, room = 0, most
    for line in reversed(lines):
        room -= len(line) + 1
        if room < 0:
            break
        fitting_count += 1
    omitted_count = len(lines) - fitting_count
    words = [*(missing or []), *([f"its first {omitted_count} lines did not fit into {most} characters"] if omitted_count else [])]
    return LogWindow("".join(f"{line}\n" for line in lines[omitted_count:]), "; ".join(words))


def _lines_in_span(lines: list[str], zone: timezone, begin: float, end: float) -> tuple[list[str], float | None]:
    """The lines of the span, and the time of the first line that has one."""
    chosen: list[str] = []
    first: float | None = None
    inside = False
    for line, at in _lines_with_times(lines, zone, end):
        if at is not None:
            first = at if first is None else first
            # syslog's seconds are cut off, so a line may be from just before the next one
            inside = begin - 1 < at <= end
        if inside:
            chosen.append(line)
    return chosen, first


def _lines_with_times(lines: list[str], zone: timezone, end: float) -> Iterator[tuple[str, float | None]]:
    for line in lines:
        yield line, time_of(line, zone, end)


def time_of(line: str, zone: timezone, near: float) -> float | None:
    """When a line was written, in seconds since the epoch. Syslog's short form has no year: the one that puts it closest to `near`."""
    try:
        if match := ISO_TIME.match(line):
            moment = datetime.fromisoformat(match[0])
            return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp()
        if (match := SYSLOG_TIME.match(line)) and match["month"] in MONTHS:
            parts = (MONTHS.index(match["month"]) + 1, *(int(match[part]) for part in ("day", "hour", "minute", "second")))
            return _closest_time(parts, zone, near)
    except (ValueError, OverflowError):
        return None  # the 31st of June, hour 25: not a time
    return None


def _closest_time(parts: tuple[int, ...], zone: timezone, near: float) -> float | None:
    month, day, hour, minute, second = parts
    year = datetime.fromtimestamp(near, zone).year
    times = []
    for candidate in (year - 1, year, year + 1):
        if month == 2 and day == 29 and not (candidate % 4 == 0 and (candidate % 100 or candidate % 400 == 0)):
            continue
        times.append(datetime(candidate, month, day, hour, minute, second, tzinfo=zone).timestamp())
    return min(times, key=lambda at: abs(at - near), default=None)


def _parse_zone(text: str) -> timezone:
    minutes = int(text[1:3]) * 60 + int(text[3:5])
    return timezone(timedelta(minutes=min(minutes, 24 * 60 - 1)) * (-1 if text[0] == "-" else 1))

"""What a bundle holds of one Linux host, in the shape in which `linux_host_script_parse` reads it. Pure; no text makes it raise."""

from __future__ import annotations

import re
from collections.abc import Mapping

from harness.diagnosis.linux_host_script_parse import MARK

FILES = ("look.txt", "addresses.txt", "routes.txt", "listeners.txt", "sockets.txt", "sysctls.txt", "firewall.txt", "clock.txt",
         "pacemaker-settings.txt", "manager.log")  # fmt: skip
WANTED = re.compile(r"hosts/[^/]{1,64}/(?:" + "|".join(re.escape(name) for name in FILES) + ")")

# Of a bundle without look.txt: the part that linux_host_script_parse reads, the file, and the command there.
FROM = (
    ("addresses", "addresses.txt", "ip addr"),
    ("rules", "routes.txt", "ip rule"),
    ("listening", "listeners.txt", "ss -Hltnp"),
    ("sockets", "sockets.txt", "ss -Htanoi"),
    ("configuration", "pacemaker-settings.txt", "cibadmin -Q"),
)
COMMANDS = (
    "ip -s -d link", "ip addr", "ip rule", "ip route show table all", "ip -6 route", "ip neigh", "ss -Hltnp", "ss -Hlunp", "ss -s",
    "ss -Htanoi", "nstat -az", "nstat -azs", "nft list ruleset", "iptables-save", "firewall-cmd --list-all-zones", "ufw status verbose",
    "date +%s.%N", "timedatectl", "chronyc -n tracking", "ntpq -pn", "cibadmin -Q", "cat /etc/corosync/corosync.conf",
)  # fmt: skip
FIREWALLS = ("nft list ruleset", "iptables-save")
ABSENT = re.compile(r"not found|Permission denied|Operation not permitted|must be root", re.IGNORECASE)


def of_host(files: Mapping[str, str]) -> tuple[str, bool]:
    """The text, and whether it is what a live look reads; a bundle of before has less, which is put together from its files."""
    if "look.txt" in files:
        return files["look.txt"], True
    parts: dict[str, str] = {}
    for part, file, command in FROM:
        output = by_command(files.get(file, "")).get(command, "")
        if output.strip() and not ABSENT.search(output.splitlines()[0]):
            parts[part] = output
    parts["sysctls"] = "\n".join(
        line.removeprefix("net/ipv4/").replace(" = ", ":", 1)
        for line in files.get("sysctls.txt", "").splitlines()
        if line.startswith("net/ipv4/") and "arp_" not in line
    )
    parts["log"] = files.get("manager.log", "")
    if (time := by_command(files.get("clock.txt", "")).get("date +%s.%N", "").strip()) and re.fullmatch(r"[\d.]+", time):
        parts["time"] = f"{time} +0000"
    parts |= _firewall(files.get("firewall.txt"))
    return "".join(f"{MARK}{name}\n{_without_marks(text)}\n" for name, text in parts.items()), False


def by_command(text: str) -> dict[str, str]:
    """What each command printed, of a file that has several, each under the heading `# COMMAND`."""
    lines_by_command: dict[str, list[str]] = {}
    current: list[str] = []
    for line in text.splitlines():
        if line.startswith("# ") and line[2:] in COMMANDS:
            current = lines_by_command.setdefault(line[2:], [])
        elif line.startswith(("# exited ", "# errors")):
            current = []
        else:
            current.append(line)
    return {command: "\n".join(lines) for command, lines in lines_by_command.items()}


def _firewall(text: str | None) -> dict[str, str]:
    """The listings of nft and iptables; a tool that is not there has no rules, one that may not read tells nothing."""
    if text is None:
        return {}
    listings = {name: part for name, part in by_command(text).items() if name in FIREWALLS}
    listed = [part for part in listings.values() if not (part.strip() and ABSENT.search(part.strip().splitlines()[0]))]
    may_not = any(re.search(r"Permission denied|not permitted|must be root", part, re.IGNORECASE) for part in listings.values())
    if may_not and not any(part.strip() for part in listed):
        return {"firewall": "", "firewall told": "not told"}
    return {"firewall": "\n".join(listed)}


def _without_marks(text: str) -> str:
    """Lines that look as the mark of a part are left out: a log may hold anything."""
    return "\n".join(line for line in text.splitlines() if not line.startswith(MARK))

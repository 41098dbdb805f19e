"""What a node's next boot brings, as `harness.collect.next_boot_script` has it told. Pure; no text makes it raise."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.diagnosis.firewall import Ruleset, parse

# Copies that editors and packages leave, which nothing reads; and what each program reads of its folder.
COPY = re.compile(r"(?:~|\.(?:bak|old|orig|save|rpmsave|rpmnew|rpmorig|dpkg-\w+|disabled|swp))$")
READ = (
    ("/etc/netplan/", re.compile(r"[^/]+\.yaml")),
    ("/etc/sysconfig/network-scripts/", re.compile(r"ifcfg-[^/]+")),
    ("/etc/sysconfig/network/", re.compile(r"ifcfg-[^/]+")),
    ("/etc/NetworkManager/system-connections/", re.compile(r"[^/.][^/]*")),
    ("/etc/network/", re.compile(r"interfaces(?:\.d/[^/]+)?")),
    ("/etc/systemd/network/", re.compile(r"[^/]+\.network(?:\.d/[^/]+\.conf)?")),
    ("/etc/rc.local", re.compile(r"")),
    ("/etc/cron", re.compile(r"tab|\.d/[\w-]+")),
    ("/var/spool/cron/", re.compile(r".+")),
)
# The service that loads a file of rules at boot.
LOADERS = {
    "/etc/iptables/rules.v4": "netfilter-persistent.service",
    "/etc/sysconfig/iptables": "iptables.service",
    "/etc/nftables.conf": "nftables.service",
    "/etc/sysconfig/nftables.conf": "nftables.service",
}
UNTELLABLE = re.compile(r"(?m)^\s*(?:include|define)\b|\$\w")  # of a file for nft: what comes from elsewhere
ENDS = ("reboot", "poweroff", "halt", "kexec", "soft-reboot")


@dataclass(frozen=True)
class NextBoot:
    """A node's own words; of what was not told nothing.

    `units` that start, of systemd or (by a plain name) SysV; `addresses`: the files by which the host takes the VIP; `starts`: a program of
    those that a cluster manager has, or `responder`, and the file that starts it; `lacking`: what /etc/fstab mounts and no disk of
    the host has, and its place; `shutdown`: when, in seconds of the host's clock, and how; `settings` of the manager's daemons: file, name,
    value; `kept_ports`: what files say of ip_local_reserved_ports, None where they were not asked; `firewall`: the rules that are loaded,
    from `firewall_file`; `target`: systemd's default.target, where an administrator has set it;
    `updates`: APT's words for automatic updates; `hostname` of /etc/hostname; `temporary`: where Azure's temporary disk is mounted."""

    units: frozenset[str] = frozenset()
    addresses: tuple[str, ...] = ()
    starts: tuple[tuple[str, str], ...] = ()
    lacking: tuple[tuple[str, str], ...] = ()
    shutdown: tuple[float, str] | None = None
    settings: tuple[tuple[str, str, str], ...] = ()
    kept_ports: tuple[str, ...] | None = None
    firewall: Ruleset | None = None
    firewall_file: str = ""
    target: str = ""
    updates: Mapping[str, str] = field(default_factory=dict)
    hostname: str = ""
    temporary: tuple[str, ...] = ()

    def starts_unit(self, name: str) -> bool:
        """Does this unit of systemd's, or SysV's of that name, start at boot?"""
        return bool(self.units & {name, f"{name}.service"})


def read(text: str, saved: str = "") -> NextBoot:
    """Lines of the section `next boot`, each a word of what it is about, and its own words; `saved`: the files of rules."""
    lines: dict[str, list[str]] = {}
    for line in text.splitlines():
        about, _, rest = line.strip().partition(" ")
        lines.setdefault(about, []).append(rest[:1000])
    units = frozenset(lines.get("unit", ())[:1000])
    off = {file for file in lines.get("off", ())}
    starts = [tuple(rest.partition(" ")[::2]) for rest in lines.get("starts", ())]
    lacking = [words for rest in lines.get("lacks", ()) if len(words := rest.split()) == 2 and words[1].startswith("/")]
    settings = [words for rest in lines.get("setting", ()) if len(words := rest.split()) == 3]
    file, rules = _saved_rules(units, saved)
    return NextBoot(
        units,
        tuple(file for file in lines.get("address", ()) if _is_read(file) and file not in off),
        tuple((program, file) for program, file in starts if _is_read(file)),
        tuple((what, place.replace("\\040", " ").rstrip("/") or "/") for what, place in lacking),
        _shutdown(lines.get("shutdown", ())),
        tuple((words[0], words[1], words[2]) for words in settings),
        tuple(lines["reserved"]) if "reserved" in lines else None,
        rules,
        file,
        next((rest for rest in lines.get("target", ()) if re.fullmatch(r"[\w@.-]{1,100}", rest)), ""),
        {words[0]: words[1] for rest in lines.get("updates", ()) if len(words := rest.split(maxsplit=1)) == 2},
        next(iter(lines.get("hostname", ())), "")[:100],
        tuple(lines.get("temporary", ())),
    )


def _is_read(file: str) -> bool:
    """Is it a file that is read at boot, and no copy beside it?"""
    return COPY.search(file) is None and any(file.startswith(at) and kind.fullmatch(file[len(at) :]) for at, kind in READ)


def _shutdown(lines: object) -> tuple[float, str] | None:
    values = dict(rest.split(" ", 1) for rest in lines if " " in rest) if isinstance(lines, list) else {}
    number, how = values.get("USEC", ""), values.get("MODE", "").strip()
    return (int(number) / 1e6, how) if re.fullmatch(r"\d{10,17}", number) and how in ENDS else None


def _saved_rules(units: frozenset[str], saved: str) -> tuple[str, Ruleset | None]:
    """`tail -v` of several files: the one whose service starts, where it is one alone, and it can be told what it says."""
    blocks = re.split(r"(?m)^==> (\S+) <==$", saved)
    texts = {file: text for file, text in zip(blocks[1::2], blocks[2::2], strict=True) if LOADERS.get(file) in units and text.strip()}
    if len(texts) != 1 or len({unit for unit in LOADERS.values() if unit in units}) != 1:
        return "", None
    ((file, text),) = texts.items()
    if "nftables" in file and UNTELLABLE.search(text):
        return "", None
    rules = parse(re.sub(r"(?m)^\s*flush ruleset\s*;?\s*$", "", text) if "nftables" in file else text)
    return (file, rules) if not rules.not_told else ("", None)

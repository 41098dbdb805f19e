"""What LifeKeeper's flags, policies and settings say about a switchover, on Linux and Windows. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from harness.managers.takeover import Case, Told, last_words

ACTION = re.compile(r"!action!(?P<pid>\d+)!(?P<time>\d+)!(?P<who>\S+)\Z", re.ASCII)
ABOUT = re.compile(r"(?P<kind>!nofailover!|confirmso!)(?P<node>\S+)\Z")
FLAG = re.compile(r"[!\w.:/@+=#$*-]+\Z")  # anything but blanks: a longer line is a message, not a flag
NAMED = re.compile(r"(?<![\w-])(?P<policy>Failover|LocalRecovery|NotificationOnly)(?![\w-])(?P<rest>[^\n]*)", re.IGNORECASE)
ON_OFF = re.compile(r"(?<![\w-])(?P<value>on|off)(?![\w-])", re.IGNORECASE)
QUORUM = re.compile(r"^\s*(?:export\s+)?QUORUM_MODE\s*=\s*[\"']?(?P<mode>[^\"'\s#]*)", re.MULTILINE)
NO_QUORUM = {"", "none", "off"}


def by_flags(to: str, flags: Mapping[str, Told]) -> Case:
    """`flg_list` of every node (LKL-22, LKL-23): running actions anywhere, and flags on `to` about the node it would take from."""
    case = Case()
    nodes = {name.lower(): name for name in flags}
    for node, told in flags.items():
        if told.text is None:
            case.unknown.append(f"{node}: its flags could not be read: {told.why}")
            continue
        for line in told.text.splitlines():
            if flag := line.strip():
                case.add(_flag(flag, node, to, nodes))
    return case


def _flag(flag: str, node: str, to: str, nodes: dict[str, str]) -> Case:
    if not FLAG.match(flag):
        return Case(unknown=[f"{node}: flg_list printed something that is no flag: {flag[:200]}"])
    if action := ACTION.match(flag):
        return Case(against=[f"{node}: an action holds a lock there: {action['who']}, process {action['pid']} (flag {flag})"])
    if about := ABOUT.match(flag):
        other = nodes.get(about["node"].lower())
        if other is None:
            return Case(unknown=[f"{node}: flag {flag} names a node that is not in the cluster file"])
        if node != to or other == to:
            return Case()  # it is about the way back
        if about["kind"] == "confirmso!":
            return Case(against=[f"{node}: a failover from {other} waits for a person's word (flag {flag}; lk_confirmso -y {other})"])
        return Case(against=[f"{node}: no failover from {other} is allowed (flag {flag}, removed when LifeKeeper there is in contact)"])
    if flag.startswith("!"):
        return Case(unknown=[f"{node}: flag {flag} is set, and what it holds up is not known"])
    return Case()


def by_policies(policies: Mapping[str, Told]) -> Case:
    """`lkpolicy --get-policies` of every node (LKL-33). Its layout is not known: policies are found by name, with on or off after it."""
    case = Case()
    for node, told in policies.items():
        if told.text is None:
            case.unknown.append(f"{node}: its policies could not be read: {told.why}")
            continue
        found = [(m["policy"].lower(), m["rest"], v["value"].lower()) for m in NAMED.finditer(told.text) if (v := ON_OFF.search(m["rest"]))]
        failover = [value for policy, _, value in found if policy == "failover"]
        quiet = [value for policy, _, value in found if policy == "notificationonly"]
        if "off" in failover:
            case.against.append(f"{node}: the policy Failover is off (lkpolicy --get-policies)")
        elif not failover:
            case.unknown.append(f"{node}: lkpolicy names no Failover policy as on or off; it said: {last_words(told.text)}")
        if "on" in quiet:
            case.against.append(f"{node}: the policy NotificationOnly is on, so failures are only reported (lkpolicy --get-policies)")
    return case


def by_settings(settings: Mapping[str, Told]) -> Case:
    """/etc/default/LifeKeeper of every node. A quorum setting's name is [from memory], and no command is known that tells whether there is
    quorum now, so a mode that is set makes the answer unknown."""
    case = Case()
    for node, told in settings.items():
        if told.text is None:
            case.unknown.append(f"{node}: its quorum setting could not be read: {told.why}")
            continue
        modes = [m["mode"] for m in QUORUM.finditer(told.text)]
        if modes and modes[-1].lower() not in NO_QUORUM:
            case.unknown.append(f"{node}: QUORUM_MODE is {modes[-1]}, and whether there is quorum now cannot be read")
    return case

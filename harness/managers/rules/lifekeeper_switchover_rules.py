"""What LifeKeeper's flags, policies and settings say about a switchover, on Linux and Windows. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from harness.core.text.host_text import cut_at_word
from harness.managers.manager import Question
from harness.managers.switchover_readiness import Case, NodeOutput, last_words

ACTION = re.compile(r"!action!(?P<pid>\d+)!(?P<time>\d+)!(?P<who>\S+)\Z", re.ASCII)
ABOUT = re.compile(r"(?P<kind>!nofailover!|confirmso!)(?P<node>\S+)\Z")
FLAG = re.compile(r"[!\w.:/@+=#$*-]+\Z")  # anything but blanks: a longer line is a message, not a flag
NAMED = re.compile(r"(?<![\w-])(?P<policy>Failover|LocalRecovery|NotificationOnly)(?![\w-])(?P<rest>[^\n]*)", re.IGNORECASE)
ON_OFF = re.compile(r"(?<![\w-])(?P<value>on|off)(?![\w-])", re.IGNORECASE)
QUORUM = re.compile(r"^\s*(?:export\s+)?QUORUM_MODE\s*=\s*[\"']?(?P<mode>[^\"'\s#]*)", re.MULTILINE)
NO_QUORUM = {"", "none", "off"}
CONFIRM = re.compile(r"^\s*(?:export\s+)?CONFIRMSO(?P<which>DEF|TO)\s*=\s*[\"']?(?P<number>\d+)", re.MULTILINE)
CHECKS = re.compile(r"^\s*(?:export\s+)?LKCHECKINTERVAL\s*=\s*[\"']?(?P<number>\d+(?:\.\d+)?)", re.MULTILINE)
HARMLESS = re.compile(r"shutdown_switchover\Z|\S+-hc-ng\Z")  # every other flag may be one that holds transfers up (WCLU-31)


def by_flags(to: str, flags: Mapping[str, NodeOutput], question: Question = Question.TOLD, harmless: Collection[str] = ()) -> Case:
    """`flg_list` of every node (LKL-22, LKL-23): running actions anywhere, and flags on `to` about the node it would take from.

    A flag that forbids failovers does not forbid a told move (WCLU-29). `harmless`: flags that the cluster file knows to hold nothing up.
    """
    case = Case()
    nodes = {name.lower(): name for name in flags}
    for node, output in flags.items():
        if output.text is None:
            case.unknown.append(f"{node}: its flags could not be read: {output.why}")
            continue
        for line in output.text.splitlines():
            if flag := line.strip():
                case.add(_flag(flag, node, to, nodes, question) if flag not in harmless else Case())
    return case


def _flag(flag: str, node: str, to: str, nodes: dict[str, str], question: Question) -> Case:
    if not FLAG.match(flag):
        return Case(unknown=[f"{node}: flg_list printed something that is no flag: {cut_at_word(flag, 200)}"])
    if action := ACTION.match(flag):
        return Case(against=[f"{node}: an action holds a lock there: {action['who']}, process {action['pid']} (flag {flag})"])
    if about := ABOUT.match(flag):
        other = nodes.get(about["node"].lower())
        if other is None:
            return Case(unknown=[f"{node}: flag {flag} names a node that is not in the cluster file"])
        confirms = about["kind"] == "confirmso!"
        if node != to or other == to or question is Question.TOLD or (confirms and question is not Question.LOST):
            return Case()  # it is about the way back, or about failovers
        if confirms:
            return Case(against=[f"{node}: a failover from {other} waits for a person's word (flag {flag}; lk_confirmso -y {other})"])
        return Case(against=[f"{node}: no failover from {other} is allowed (flag {flag}, removed when LifeKeeper there is in contact)"])
    if HARMLESS.match(flag):
        return Case()
    return Case(unknown=[f"{node}: flag {flag} is set, and what it holds up is not known (manager.harmless_flags)"])


def by_policies(policies: Mapping[str, NodeOutput]) -> Case:
    """`lkpolicy --get-policies` of every node (LKL-33), for failovers only: a policy forbids no told move.

    Its layout is not known: policies are found by name, with on or off after it.
    """
    case = Case()
    for node, output in policies.items():
        if output.text is None:
            case.unknown.append(f"{node}: its policies could not be read: {output.why}")
            continue
        settings = [
            (m["policy"].lower(), m["rest"], v["value"].lower()) for m in NAMED.finditer(output.text) if (v := ON_OFF.search(m["rest"]))
        ]
        failover = [value for policy, _, value in settings if policy == "failover"]
        quiet = [value for policy, _, value in settings if policy == "notificationonly"]
        if "off" in failover:
            case.against.append(f"{node}: the policy Failover is off (lkpolicy --get-policies)")
        elif not failover:
            case.unknown.append(f"{node}: lkpolicy names no Failover policy as on or off; it said: {last_words(output.text)}")
        if "on" in quiet:
            case.against.append(f"{node}: the policy NotificationOnly is on, so failures are only reported (lkpolicy --get-policies)")
    return case


def by_settings(
    settings: Mapping[str, NodeOutput], question: Question = Question.LOST, quorum: str | None = None, left: tuple[int, int] | None = None
) -> Case:
    """/etc/default/LifeKeeper of every node: what quorum and confirmation it demands when a node is lost, and whether a failed resource is
    noticed. What LifeKeeper makes of an interval of 0 between its checks (LKL-41) is not known, so it makes no *yes*.

    `quorum`: the mode in force where the settings name none, by the cluster file: absent is not off where the quorum package is installed
    (WCLU-28). A mode that needs more than both nodes' word cannot be read. `left`: how many machines would be left, and of how many, where
    that is known (WCLU-27); two nodes alone have no majority.
    """
    case = Case()
    if question is Question.FAILED:
        for node, output in settings.items():
            intervals = [float(m["number"]) for m in CHECKS.finditer(output.text or "")]
            if intervals and intervals[-1] == 0:
                case.unknown.append(f"{node}: LKCHECKINTERVAL is 0, and whether a resource that fails is then noticed at all is not known")
    if question is not Question.LOST:
        return case
    for node, output in settings.items():
        if output.text is None:
            case.unknown.append(f"{node}: its quorum setting could not be read: {output.why}")
            continue
        modes = [m["mode"] for m in QUORUM.finditer(output.text)]
        mode = modes[-1].lower() if modes else quorum
        if mode is None:
            case.unknown.append(
                f"{node}: no QUORUM_MODE is set, which is majority where the quorum package is installed (manager.quorum says what it is)"
            )
        elif mode == "majority":
            if left is None or left[1] <= 2:
                case.against.append(f"{node}: QUORUM_MODE is majority, and one of two nodes alone is none")
            elif left[0] * 2 <= left[1]:
                case.against.append(f"{node}: QUORUM_MODE is majority, and {left[0]} of {left[1]} machines would be left, which is none")
        elif mode not in NO_QUORUM:
            case.unknown.append(f"{node}: QUORUM_MODE is {mode}, and whether there is quorum now cannot be read")
        confirm = {m["which"]: int(m["number"]) for m in CONFIRM.finditer(output.text)}
        if confirm.get("DEF") == 1 and confirm.get("TO") == 0:
            case.against.append(f"{node}: CONFIRMSODEF is 1 and CONFIRMSOTO 0: no failover comes without a person's word")
    return case

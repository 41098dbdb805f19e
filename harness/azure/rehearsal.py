"""What a first run on real Azure should verify: the open questions of the facts (OQ) and of making (MK), each with how to see it. Pure.

Nothing of this product has touched real Azure; whoever has a subscription can go through the list and write the answers down.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.config.cluster_config import Cluster
from harness.core.errors import BadUse


@dataclass(frozen=True)
class Question:
    """`choices` are what it may turn out to be, and `assumed` is what the lab and the verdicts go by until somebody has looked."""

    id: str
    what: str
    choices: tuple[str, ...]
    assumed: str
    how: str
    changes_verdicts: bool = False

    @property
    def in_seconds(self) -> bool:
        """Whether the answer is a number of seconds."""
        return self.choices == ("seconds, as a number",)

    def is_assumed(self, answer: str) -> bool:
        """Whether an answer that it takes is what is assumed: 0.0 seconds are 0."""
        return _seconds(answer) == _seconds(self.assumed) if self.in_seconds else answer == self.assumed


def _seconds(answer: str) -> float | None:
    """None for what is no duration."""
    try:
        seconds = float(answer)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


UNSEEN = "not seen"  # the answer to a question that was not looked at

QUESTIONS = (
    Question(
        "OQ-01", "Does the idle timeout apply under floating IP?", ("applies", "ignored"), "applies",
        "design floating: pytest --cluster FILE --allow-disruption -k idle; in the report, was the idle connection given up in time?", True,
    ),
    Question(
        "OQ-02", "Does ICMP reach a member through an HA-ports rule?", ("drop", "pass"), "drop",
        "a rule with HA ports: on the client `ping -c 5 FRONTEND`, and on the active node `tcpdump -ni any icmp`.", True,
    ),
    Question(
        "OQ-03", "What answers ARP for unassigned addresses of the subnet, and for the frontend? Does the frontend answer ping?",
        ("answer all", "assigned and frontend", "assigned only"), "answer all",
        "on a node: `arping -c 3 -I eth0 FREE_ADDRESS`, the same for the frontend, then `ping -c 3 FRONTEND` from the client.", True,
    ),
    Question(
        "OQ-04", "What does adminState Down do to established TCP connections?", ("persist", "reset"), "persist",
        'the disruption "azure adminState down" with a pinned connection: does it live on, end in silence, or get a reset?', True,
    ),
    Question(
        "OQ-05", "By how much does Azure delay a member whose probe fluctuates?", ("seconds, as a number",), "0",
        "switch over five times within a minute; in the report, probe-up minus the responder's opening, last against first.", True,
    ),
    Question(
        "OQ-06", "How long does a probe's connection live?", ("close at once", "hold to next probe", "HTTP keep-alive"), "close at once",
        "on the active node: `tcpdump -ni eth0 host 168.63.129.16 and port PROBE_PORT`; when does the FIN come?", True,
    ),
    Question(
        "OQ-07", "With one member in the pool: do established connections survive its probe going down?", ("keep", "drop"), "keep",
        'take the standby out ("azure pool left"), stop the responder on the active node, and watch a pinned connection.', True,
    ),
    Question(
        "OQ-08", "Do TCP timestamps make probes time out?", ("none", "intermittent timeouts"), "none",
        "net.ipv4.tcp_timestamps=1 on both nodes for a day; count changes of the rule's health view, then the same with 0.", True,
    ),
    Question(
        "OQ-09", "Is a backend port other than the frontend's honoured under floating IP?", ("honour", "ignore"), "honour",
        "design floating, a rule 1521 to 1522: on the active node `tcpdump -ni any port 1521 or port 1522` while the client connects.",
    ),
    Question(
        "OQ-10", "Is a probe that is answered through another NIC dropped?", ("drop", "accept"), "drop",
        "put a node's second NIC in the pool without policy routing; does the health view say Up?",
    ),
    Question(
        "OQ-11", "Can a user-defined route divert probes?", ("no", "yes"), "no",
        "a route table with 168.63.129.16/32 to a next hop that drops, on Subnet#1; does the health view change?",
    ),
    Question(
        "OQ-12", "What happens to live connections when floating IP is toggled on a rule?", ("keep flows", "refuse change"), "keep flows",
        "a pinned connection through the rule, then change enableFloatingIP; does Azure accept it, and does the connection live?",
    ),
    Question(
        "OQ-13", "Is the MSS lowered on the path through the balancer?", ("off", "on"), "off",
        "on the active node: `tcpdump -ni any 'tcp[tcpflags] & tcp-syn != 0 and port 1521'`; the mss of a client's SYN: 1460 or 1418?",
    ),
    Question(
        "OQ-14", "Does a refused HTTP probe count, or take the member out at once?", ("count", "at once"), "count",
        "an HTTP probe with probeThreshold 3: stop the responder; how many intervals until new connections stop?",
    ),
    Question(
        "OQ-15", "Which destination does an NSG rule match under floating IP: the node's address or the frontend's?", ("DIP", "VIP"), "DIP",
        "design floating: an inbound deny for the node's own address, then one for the frontend's; which of them silences the client?",
    ),
    Question(
        "OQ-16", "Is a new flow that a node sources from the VIP to a peer in the VNet dropped?", ("drop", "pass"), "drop",
        "on the active node: `curl --interface VIP http://CLIENT:PORT`, and `tcpdump` on the client.",
    ),
    Question(
        "OQ-17", "How long is it from the probe's verdict to the data path's change?", ("seconds, as a number",), "0",
        "in a failover's report: the first success minus the moment when the new node had answered probeThreshold probes.",
    ),
    Question(
        "OQ-18", "Does a hairpin packet come back to the VM under floating IP?", ("return", "swallow"), "return",
        "design floating, VIP removed on the active node: connect there to the VIP, with `tcpdump -ni eth0 host VIP`.",
    ),
    Question(
        "OQ-19", "After a boot, does one successful probe suffice, or probeThreshold of them?", ("N successes", "one"), "N successes",
        "probeThreshold 3, restart a node: probes answered (tcpdump) before its first client's connection.",
    ),
    Question(
        "MK-01", "Does a list of resources that is filtered by a tag leave their tags out?", ("leaves out", "holds them"), "leaves out",
        "after `lkharness azure up`: `az resource list --tag lkharness-run --query '[].tags'`, which asks with such a filter.",
    ),
    Question(
        "MK-02", "Does a cancelled deployment still bring resources into being after it says Canceled?", ("no", "yes"), "no",
        "Ctrl-C while `lkharness azure up` makes the machines; ten minutes after its end, does `lkharness azure down --run RUN --plan` "
        "find anything?",
    ),
)  # fmt: skip

_HEAD = """\
# What was seen on real Azure; made by `lkharness azure rehearse`. Fill in `answer`, and whatever helps to believe it in `evidence`:
# a report's name, a capture, a command's output. An answer that is left as it is counts as not seen.
"""


def questions_for(cluster: Cluster | None) -> tuple[Question, ...]:
    """All of them; with a cluster, its own addresses and ports in the commands."""
    return tuple(replace(q, how=_of(cluster, q.how)) for q in QUESTIONS)


def as_text(questions: Iterable[Question] = QUESTIONS) -> str:
    """The checklist for a person."""
    return "\n\n".join(
        f"{q.id}{' (changes verdicts)' if q.changes_verdicts else ''}  {q.what}\n"
        f"       how to see it: {q.how}\n"
        f"       answers: {' | '.join(q.choices)}; until then: {q.assumed}"
        for q in questions
    )


def _of(cluster: Cluster | None, how: str) -> str:
    """The words in capitals, as this cluster has them."""
    if cluster is None:
        return how
    value_by_word = {
        "PROBE_PORT": str(cluster.load_balancer.probe.port),
        "FRONTEND": str(cluster.vip),
        "VIP": str(cluster.vip),
        "CLIENT": str(cluster.client.address),
        "port 1521": f"port {cluster.services[0].port}",
    }
    for word, value in value_by_word.items():
        how = re.sub(rf"(?<![\w_]){word}(?![\w_])", value, how)
    return how


def template(
    answers: Mapping[str, Mapping[str, str]] | None = None,
    run_details: Mapping[str, str] | None = None,
    questions: Iterable[Question] = QUESTIONS,
) -> str:
    """A TOML file with a table for every question, holding what is known already."""
    import tomli_w

    parts = [_HEAD]
    defaults = {"date": datetime.now(UTC).date().isoformat(), "who": "", "region": "", "balancer": ""}
    parts.append(tomli_w.dumps({"about": {**defaults, **(run_details or {})}}))
    for q in questions:
        given_answer = (answers or {}).get(q.id, {})
        parts.append(f"\n# {q.what}\n# how to see it: {q.how}\n# answers: {' | '.join(q.choices)}; until then: {q.assumed}\n")
        parts.append(tomli_w.dumps({q.id: {"answer": given_answer.get("answer", UNSEEN), "evidence": given_answer.get("evidence", "")}}))
    return "".join(parts)


def read(file: Path) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """The answers of a file, by question, and what it says about the run. Raises BadUse with everything that is no answer."""
    try:
        data: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadUse(f"{file}: cannot be read ({error.strerror}); make it with `lkharness azure rehearse --template {file}`") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadUse(f"{file}: is not TOML: {error}") from error
    about_table, question_by_id = data.pop("about", {}), {q.id: q for q in QUESTIONS}
    faults = [f"{name}: there is no such question" for name in data if name not in question_by_id]
    if not isinstance(about_table, dict):
        faults.append("about: it is no table; write what is known of the run below a line [about], or leave it out")
        about_table = {}
    about = {str(k): str(v) for k, v in about_table.items()}
    answers: dict[str, dict[str, str]] = {}
    for name, table in data.items():
        if name in question_by_id and (fault := _fault(question_by_id[name], table)):
            faults.append(f"{name}: {fault}")
        elif name in question_by_id:
            answers[name] = {"answer": str(table["answer"]), "evidence": str(table.get("evidence", ""))}
    if faults:
        raise BadUse("\n".join([f"{file}: {len(faults)} fault{'s' if len(faults) > 1 else ''}", *(f"  {f}" for f in faults)]))
    return answers, about


def summary(answers: Mapping[str, Mapping[str, str]]) -> str:
    """What was seen, and what of it speaks against what the harness goes by."""
    lines = []
    for q in QUESTIONS:
        answer = answers.get(q.id, {}).get("answer", UNSEEN)
        comparison = "as assumed" if q.is_assumed(answer) else f"AGAINST what is assumed ({q.assumed})"
        lines.append(f"{q.id}  {answer}" if answer == UNSEEN else f"{q.id}  {answer}: {comparison}")
    seen_count = sum(a.get("answer", UNSEEN) != UNSEEN for a in answers.values())
    return "\n".join([*lines, f"{seen_count} of {len(QUESTIONS)} questions seen"])


def ask_questions(
    ask: Callable[[str], str], answers: Mapping[str, Mapping[str, str]], questions: Iterable[Question] = QUESTIONS
) -> dict[str, dict[str, str]]:
    """Put every question that has no answer yet to a person; an empty line leaves it, and what is no answer is asked again."""
    result = {name: dict(a) for name, a in answers.items()}
    for q in questions:
        if result.get(q.id, {}).get("answer", UNSEEN) != UNSEEN:
            continue
        print(f"\n{q.id}  {q.what}\n  how to see it: {q.how}")
        while True:
            reply = ask(f"{' | '.join(q.choices)} (empty: {UNSEEN})")
            fault = _fault(q, {"answer": reply or UNSEEN})
            if fault is None:
                break
            print(fault)
        result[q.id] = {"answer": reply or UNSEEN, "evidence": ask("evidence") if reply else ""}
    return result


def _fault(question: Question, table: Any) -> str | None:
    if not isinstance(table, Mapping) or "answer" not in table:
        return "it has no answer; leave the template's line as it is for a question that was not looked at"
    answer = str(table["answer"])
    if answer == UNSEEN:
        return None
    if question.in_seconds:
        return f"{answer!r} is no number of seconds" if _seconds(answer) is None else None
    return None if answer in question.choices else f"{answer!r} is none of {', '.join(question.choices)} and {UNSEEN}"

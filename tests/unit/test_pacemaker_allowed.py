"""What Pacemaker's tools say about everything going to the other node, and about fencing: each change to a cluster that may."""

from __future__ import annotations

import re

import pytest
from test_pacemaker_adapter import MONITOR

from harness.managers.manager import Question, Says, answer
from harness.managers.parse.pacemaker_parse import failures_until_ban, read
from harness.managers.rules.boot_start_rules import at_boot_line, by_units
from harness.managers.rules.pacemaker_fencing_rules import fenced_by, fences_by_watchdog, lacks_devices
from harness.managers.rules.pacemaker_switchover_rules import (
    by_cib,
    by_clones,
    by_cluster,
    by_failures,
    by_fencing,
    by_quorum,
    by_simulation,
    fenced_off,
    moves_nothing,
    would_lines,
)
from harness.managers.switchover_readiness import NodeOutput

A, B = "lknode01", "lknode02"
CUT = "-- cut --"
BAN = '<bans><ban id="avoid" resource="{}" node="lknode02" weight="{}" promoted-only="false" master_only="false"/></bans><status'
FAILURE = '<failures><failure op_key="{}" node="{}" exitstatus="x" exitcode="{}" status="Done"/></failures><status'
QUORATE = """Expected votes:   2
Total votes:      2
Quorum:           {}
Flags:            {}

    Nodeid      Votes Name
         1          1 lknode01
         2          1 lknode02 (local)
"""
CIB = """<cib><configuration><crm_config><nvpair id="a" name="stonith-action" value="{action}"/></crm_config><resources>
<group id="cluster-services"><primitive id="web" class="ocf" type="anything"><operations>
<op id="m" name="monitor" interval="10s" on-fail="{fail}"/></operations></primitive></group>
<clone id="ping-clone"><primitive id="ping"/></clone></resources><constraints>{rules}</constraints></configuration></cib>
now 1795356427
"""


def changed(before: str, after: str) -> str:
    assert before in MONITOR
    return MONITOR.replace(before, after, 1)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (changed("<status", BAN.format("ip", "-1000000")), "the constraint avoid forbids lknode02"),
        (changed("<status", BAN.format("cluster-services", "-INFINITY")), "the constraint avoid forbids lknode02"),
        (changed('name="lknode02" id="2"', 'name="lknode02" id="2" health="red"'), "lknode02's health is red"),
        (changed('stop-all-resources="false"', 'stop-all-resources="true"'), "told to stop all resources"),
        (changed("<status", FAILURE.format("web_start_0", A, 6)), "web is not configured right, says its agent"),
        (changed("<status", FAILURE.format("web_start_0", B, 5)), "web failed on lknode02"),
    ],
)
def test_what_speaks_against_it(text: str, why: str) -> None:
    found = by_cluster(B, read(text)).answer
    assert found.no and why in str(found)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (
            'exitstatus="Timed Out" exitcode="1" status="Timed Out"',
            "its stop failed on lknode01 (Timed Out), and Pacemaker leaves it alone",
        ),
        ('exitstatus="error" exitreason="no such lock" exitcode="1" status="complete"', "its stop failed on lknode01 (no such lock)"),
        ('exitstatus="error" exitcode="1" status="complete"', "its stop failed on lknode01 (error)"),
        ("", "its stop failed on lknode01, and"),
    ],
)
def test_a_resource_that_pacemaker_gave_up_on_is_told_with_its_failure(how: str, said: str) -> None:
    failure = f'<failures><failure op_key="web_stop_0" node="{A}" {how}/></failures><status'
    web = 'role="Started" active="true" blocked="false" managed="true" failed="false">'
    blocked = changed("<status", failure).replace(web, 'role="Started" active="true" blocked="true" managed="false" failed="true">', 1)
    found = by_cluster(B, read(blocked)).answer
    assert found.no and f"web is blocked: {said}" in str(found) and "web is not managed" not in str(found)


@pytest.mark.parametrize(
    "text",
    [
        changed("<status", BAN.format("ip", "-1000")),  # a wish
        changed("<status", BAN.format("another", "-1000000")),
        changed("<status", BAN.format("ip", "-1000000").replace(B, A)),
        changed("<status", BAN.format("ip", "-1000000").replace('promoted-only="false"', 'promoted-only="true"')),
        changed("<status", FAILURE.format("fence_start_0", B, 5)),  # Pacemaker moves all the same
        changed("<status", FAILURE.format("ping_start_0", B, 5)),
        changed("<status", FAILURE.format("removed-long-ago_start_0", B, 5)),
        changed("<status", FAILURE.format("removed-long-ago_start_0", A, 6)),
    ],
)
def test_what_does_not_matter(text: str) -> None:
    assert by_cluster(B, read(text)).answer.yes


def test_health_counts_only_with_a_strategy() -> None:
    red = read(changed('name="lknode02" id="2"', 'name="lknode02" id="2" health="red"'))
    assert by_cluster(B, red, health=False).answer.yes


def cib(rules: str = "", fail: str = "restart", action: str = "reboot") -> NodeOutput:
    return NodeOutput(CIB.format(rules=rules, fail=fail, action=action))


END = "cli-prefer-lifetime-end-web"
PREFER = '<rsc_location id="cli-prefer-web" rsc="web"><rule id="r"><date_expression id="{}" operation="lt" end="{}"/></rule></rsc_location>'


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        ('<rsc_location id="cli-ban-web-on-lknode02" rsc="web"/>', "cli-ban-web-on-lknode02 is in force"),  # of a member
        ('<rsc_location id="cli-ban-other-on-lknode02" rsc="other"/>', ""),
        (PREFER.format(END, "2026-11-22 00:00:00Z"), ""),  # over
        (PREFER.format("cli-ban-web-on-lknode02-lifetime", "2026-11-22 00:00:00Z"), ""),  # as `crm_resource --ban --lifetime` names it
        (PREFER.format(END, "2026-11-22 00:00:00Z").replace('id="r"', 'id="r" boolean-op="or"'), "cli-prefer-web is in force"),
        (PREFER.format(END, "2026-11-01"), ""),
        (PREFER.format(END, "2026-12-01"), "cli-prefer-web is in force"),
        (PREFER.format(END, "9999-12-31"), "cli-prefer-web is in force"),  # after which there is no day
        (PREFER.format(END, "2026-12-22 00:00:00 +00:00"), "cli-prefer-web is in force"),
        (PREFER.format(END, "some day"), "cli-prefer-web is in force"),
    ],
)
def test_what_a_move_by_hand_left(rules: str, why: str) -> None:
    found = by_cib(cib(rules), read(MONITOR), "cluster-services").answer
    assert found.yes is not bool(why) and why in str(found)


def test_a_preference_that_a_move_left_keeps_nothing_from_leaving_a_lost_node() -> None:
    """Pacemaker's own scheduler is asked what it makes of it; a ban is another thing."""
    left = cib('<rsc_location id="cli-prefer-web" rsc="web" node="lknode01" score="INFINITY"/>')
    for question in (Question.LOST, Question.FAILED):
        assert by_cib(left, read(MONITOR), "cluster-services", question).answer.yes, question
        banned = cib('<rsc_location id="cli-ban-web-on-lknode02" rsc="web"/>')
        assert by_cib(banned, read(MONITOR), "cluster-services", question).answer.no, question
    assert by_cib(left, read(MONITOR), "cluster-services", Question.TOLD).answer.no


@pytest.mark.parametrize(("word", "no"), [("restart", False), ("fence", False), ("block", True), ("ignore", True), ("stop", True)])
def test_a_failure_that_moves_nothing(word: str, no: bool) -> None:
    told = cib(fail=word)
    assert by_cib(told, read(MONITOR), "cluster-services", Question.FAILED).answer.no is no
    assert by_cib(told, read(MONITOR), "cluster-services", Question.LOST).answer.yes
    unfenced = read(changed('stonith-enabled="true"', 'stonith-enabled="false"'))
    assert by_cib(cib(fail="fence"), unfenced, "cluster-services", Question.FAILED).answer.no  # then it means stop
    assert by_cib(NodeOutput(None, "away"), read(MONITOR), "x").answer.says is Says.CANNOT_TELL


def test_a_clone_that_is_needed_and_not_there() -> None:
    """Unless Pacemaker itself can be asked."""
    rule = '<rsc_colocation id="with" rsc="ip" with-rsc="ping-clone" score="INFINITY"/>'
    found = by_clones(B, cib(rule), read(MONITOR)).answer
    assert found.says is Says.CANNOT_TELL and "ping-clone, which with demands, has no instance on lknode02" in str(found)
    there = MONITOR.replace('type="ocf:pacemaker:ping"', "").replace(
        'managed="true"/></clone>', 'managed="true"><node name="lknode02" id="2"/></resource></clone>'
    )
    assert by_clones(B, cib(rule), read(there)).answer.yes
    assert by_clones(B, cib(rule.replace("INFINITY", "10")), read(MONITOR)).answer.yes


@pytest.mark.parametrize(
    ("quorum", "flags", "says"),
    [
        (1, "2Node Quorate WaitForAll ", Says.YES),
        (2, "Quorate", Says.NO),
        (1, "Quorate Qdevice", Says.YES),
        ("x", "Quorate", Says.CANNOT_TELL),
    ],
)
def test_quorum_without_the_active_node(quorum: object, flags: str, says: Says) -> None:
    found = by_quorum(A, B, NodeOutput(QUORATE.format(quorum, flags)), read(MONITOR)).answer
    assert found.says is says, found
    ignores = changed('stonith-enabled="true"', 'stonith-enabled="true" no-quorum-policy="ignore"')
    assert by_quorum(A, B, NodeOutput(""), read(ignores)).answer.yes


def simulated(tags: dict[str, str]) -> NodeOutput:
    rows = "".join(
        f'<resource id="{tag}" role="{"Started" if on else "Stopped"}">{f"<node name={on!r}/>" if on else ""}</resource>'
        for tag, on in tags.items()
    )
    end = f"<revised_cluster_status><resources>{rows}</resources></revised_cluster_status>"
    return NodeOutput(f"<pacemaker-result>{end}</pacemaker-result>")


def test_pacemakers_own_word_on_what_it_would_do() -> None:
    reading, sound = read(MONITOR), simulated({"web": B, "ip": B})
    assert by_simulation(B, [simulated({"web": B, "ip": B, "fence": A})], reading).answer.yes
    assert "would have ip stopped" in str(by_simulation(B, [sound, simulated({"web": B, "ip": ""})], reading).answer)
    assert "would have web, ip on lknode01" in str(by_simulation(B, [simulated({"web": A, "ip": A})], reading).answer)
    for told in (NodeOutput("crm_simulate: not found"), NodeOutput(None, "away"), NodeOutput("<pacemaker-result/>")):
        assert by_simulation(B, [told], reading).answer.says is Says.CANNOT_TELL
        assert by_simulation(B, [sound, told], reading).answer.says is Says.CANNOT_TELL  # where one of two failed
        assert (
            by_simulation(B, [simulated({"web": B, "ip": B}), told], reading).answer.says is Says.CANNOT_TELL
        )  # of one that failed beside
    assert "would have ip stopped" in str(
        by_simulation(B, [simulated({"web": B, "ip": B}), simulated({"web": B, "ip": ""})], reading).answer
    )
    (line,) = would_lines(Question.TOLD, "a'; rm -rf /; '", A, B)
    assert "cannot be asked" in line


@pytest.mark.parametrize("how", ['role="Started" blocked="true"', 'role="Started" failed="true"', 'role="Stopped"'])
def test_what_is_blocked_or_failed_in_the_end_is_not_in_service(how: str) -> None:
    sound = simulated({"web": B, "ip": B})
    text = (sound.text or "").replace('id="ip" role="Started"', f'id="ip" {how}')
    assert "would have ip stopped" in str(by_simulation(B, [NodeOutput(text)], read(MONITOR)).answer)


def test_each_question_is_simulated_as_what_it_is() -> None:
    """Told: everything has to be there; lost: the node is away."""
    (told,), (lost,) = would_lines(Question.TOLD, "g", A, B), would_lines(Question.LOST, "g", A, B)
    assert f'rsc="g" node="{B}" score="INFINITY"' in told and " -f " not in told
    assert lost.endswith(f"-f {A}") and "lkharness-would" not in lost


@pytest.mark.parametrize("number", range(6))
def test_a_failure_of_each_resource_is_asked_about_once(number: int) -> None:
    tags = [f"r{n}" for n in range(number)]
    lines = would_lines(Question.FAILED, "g", A, B, tags)
    assert lines and sorted(re.findall(r'rsc="(r\d)" node="lknode01"', " ".join(lines))) == tags
    assert sum(line.count("crm_simulate") for line in lines) == number


HELPER = '<meta_attributes id="{0}-m"><nvpair id="{0}-c" name="critical" value="{1}"/></meta_attributes>'
MEMBER = '<primitive id="{}">{}</primitive>'


@pytest.mark.parametrize(
    ("resources", "rules", "found"),
    [
        (MEMBER.format("web", "") + MEMBER.format("helper", HELPER.format("helper", "false")), "", {"helper"}),
        (MEMBER.format("web", "") + MEMBER.format("helper", HELPER.format("helper", "true")), "", set()),
        (MEMBER.format("web", "") + MEMBER.format("helper", HELPER.format("helper", "No")), "", {"helper"}),
        (MEMBER.format("helper", HELPER.format("helper", "false")) + MEMBER.format("web", ""), "", set()),  # which needs it
        (MEMBER.format("web", HELPER.format("web", "false")), "", set()),  # the file's own
        (MEMBER.format("a", HELPER.format("a", "false")) + MEMBER.format("b", HELPER.format("b", "false")), "", {"a", "b"}),
        (MEMBER.format("a", HELPER.format("a", "false")), '<rsc_colocation id="x" rsc="web" with-rsc="a"/>', set()),
        (MEMBER.format("a", HELPER.format("a", "false")), '<rsc_order id="x" first="a" then="web"/>', set()),
        (MEMBER.format("a", HELPER.format("a", "false")), '<rsc_colocation id="x" rsc="web" with-rsc="g"/>', set()),  # the whole group
        (MEMBER.format("a", HELPER.format("a", "false")), '<rsc_order id="x" first="web" then="a"/>', {"a"}),
    ],
)
def test_for_whose_failure_nothing_moves(resources: str, rules: str, found: set[str]) -> None:
    group = f"<resources><group id='g'>{resources}</group></resources>"
    told = f"<cib><configuration>{group}<constraints>{rules}</constraints></configuration></cib>"
    assert moves_nothing(NodeOutput(told), {"web"}) == found
    assert moves_nothing(NodeOutput("not connected"), {"web"}) == moves_nothing(NodeOutput(None, "away"), {"web"}) == set()


def test_a_lost_node_is_fenced_first() -> None:
    enabled, disabled = read(MONITOR), read(changed('stonith-enabled="true"', 'stonith-enabled="false"'))
    newer = read(changed('stonith-enabled="true"', 'fencing-enabled="true"'))
    for reading in (enabled, newer):
        assert by_fencing(answer([]), reading).answer.yes and by_fencing(answer(["x"]), reading).answer.no
        assert by_fencing(answer([], ["x"]), reading).answer.says is Says.CANNOT_TELL
    assert by_fencing(answer(["x"]), disabled).answer.yes
    assert by_fencing(answer([]), read(changed('stonith-enabled="true"', ""))).answer.says is Says.CANNOT_TELL


LISTED = "fence\n1 fence device found\n"
EVENT = '<fence_history><fence_event action="reboot" target="lknode02" status="{}" completed="2026-11-2{}"/>{}</fence_history><status'


@pytest.mark.parametrize(
    ("text", "lists", "says", "why"),
    [
        (MONITOR, [LISTED, LISTED], Says.YES, ""),
        (changed('stonith-enabled="true"', 'stonith-enabled="false"'), [LISTED] * 2, Says.NO, "fencing is not in use"),
        (changed('stonith-enabled="true"', 'fencing-enabled="true"'), [LISTED] * 2, Says.YES, ""),
        (changed('stonith-enabled="true"', ""), [LISTED] * 2, Says.CANNOT_TELL, "whether fencing is in use could not be read"),
        (
            changed('role="Started" active="true" managed', 'role="Stopped" active="false" managed'),
            [LISTED] * 2,
            Says.NO,
            "no fence device",
        ),
        (changed('managed="true" failed="false">', 'managed="true" failed="true">'), [LISTED] * 2, Says.NO, "no fence device is started"),
        (MONITOR, [LISTED, "0 fence devices found\n"], Says.NO, "no started fence device covers lknode02"),
        (MONITOR, [LISTED, "another\n1 fence device found\n"], Says.NO, "no started fence device covers lknode02"),
        (
            changed("<status", BAN.format("fence", "-1000000")),
            ["0 fence devices found\n"] * 2,
            Says.NO,
            "stonith_admin on lknode02 said: 0 fence devices found; the constraint avoid keeps fence off lknode02",
        ),
        (MONITOR, [LISTED], Says.CANNOT_TELL, "could not be asked"),
        (changed("<status", EVENT.format("failed", 1, "")), [LISTED] * 2, Says.NO, "the last fencing of lknode02 is failed"),
        (changed("<status", EVENT.format("success", 1, "")), [LISTED] * 2, Says.YES, ""),
        (changed("<status", EVENT.format("failed", 1, "").replace("lknode02", "lknode99")), [LISTED] * 2, Says.YES, ""),  # no node of this
        (changed("<status", '<fence_history status="105"/><status'), [LISTED] * 2, Says.CANNOT_TELL, "whether fencing failed before"),
        ("no XML", [LISTED] * 2, Says.CANNOT_TELL, "crm_mon printed no XML"),
    ],
)
def test_fencing_is_proven_or_it_is_not(text: str, lists: list[str], says: Says, why: str) -> None:
    told = NodeOutput(CUT.join([text, *lists]))
    found = fenced_by({A: told, B: told}, [A, B], CUT)
    assert found.says is says and why in str(found), found


def test_a_device_for_each_node_kept_off_the_node_that_it_fences_is_enough() -> None:
    none = "0 fence devices found\n"
    told = {A: NodeOutput(CUT.join([MONITOR, none, LISTED])), B: NodeOutput(CUT.join([MONITOR, LISTED, none]))}
    assert fenced_by(told, [A, B], CUT).yes
    told[B] = NodeOutput(CUT.join([MONITOR, none, LISTED]))
    found = fenced_by(told, [A, B], CUT)
    assert found.no and "no started fence device covers lknode01; stonith_admin on lknode02 said" in str(found), found


def test_nodes_that_a_watchdog_resets_need_no_fence_device() -> None:
    """SBD without a disk, and Pacemaker before 2.1 or so: no device is in crm_mon, and `stonith_admin -l` may list the watchdog or not."""
    bare = re.sub(r"<resource [^>]*stonith:.*?</resource>", "", MONITOR, flags=re.DOTALL)
    outputs = {n: NodeOutput(CUT.join([bare, "watchdog\n1 fence device found\n", "0 fence devices found\n"])) for n in (A, B)}
    assert lacks_devices(outputs, CUT) and not lacks_devices({A: NodeOutput(MONITOR), B: NodeOutput(None, "away")}, CUT)
    assert not lacks_devices({A: NodeOutput(bare.replace('stonith-enabled="true"', 'stonith-enabled="false"'))}, CUT)
    assert fenced_by(outputs, [A, B], CUT, True).yes and fenced_by(outputs, [A, B], CUT).no
    failed = NodeOutput(CUT.join([changed('managed="true" failed="false">', 'managed="true" failed="true">'), LISTED, LISTED]))
    assert fenced_by({A: failed, B: failed}, [A, B], CUT, True).no  # there is a device, and it has failed


@pytest.mark.parametrize(
    ("options", "fences"),
    [
        ({"have-watchdog": "true", "stonith-watchdog-timeout": "10s"}, True),
        ({"have-watchdog": "true", "stonith-watchdog-timeout": "-1"}, True),  # reckoned from SBD's own
        ({"have-watchdog": "true", "fencing-watchdog-timeout": "10"}, True),
        ({"have-watchdog": "false", "stonith-watchdog-timeout": "10"}, False),
        ({"have-watchdog": "true", "stonith-watchdog-timeout": "0"}, False),
        ({"have-watchdog": "true"}, False),
        ({}, False),
    ],
)
def test_the_clusters_options_say_whether_a_watchdog_is_relied_on(options: dict[str, str], fences: bool) -> None:
    pairs = "".join(f'<nvpair id="{n}" name="{n}" value="{v}"/>' for n, v in options.items())
    text = f"<cib><configuration><crm_config><cluster_property_set>{pairs}</cluster_property_set></crm_config></configuration></cib>\nnow 1"
    assert fences_by_watchdog(NodeOutput(text)) is fences
    assert not fences_by_watchdog(NodeOutput(None, "away")) and not fences_by_watchdog(NodeOutput("no XML"))


def test_a_device_that_fenced_since_it_failed_counts() -> None:
    later = '<fence_event action="reboot" target="lknode02" status="success" completed="2026-11-24"/>'
    told = NodeOutput(CUT.join([changed("<status", EVENT.format("failed", 1, later)), LISTED, LISTED]))
    assert fenced_by({A: told}, [A, B], CUT).yes
    assert fenced_by({A: NodeOutput(None, "away")}, [A, B], CUT).says is Says.CANNOT_TELL


@pytest.mark.parametrize(
    ("said", "says", "why"),
    [
        ("pacemaker enabled", Says.YES, ""),
        ("pacemaker disabled", Says.NO, "pacemaker is disabled, so it is not started when the node boots"),
        ("pacemaker masked", Says.NO, "masked"),
        ("pacemaker enabled-runtime", Says.NO, "enabled-runtime"),
        ("pacemaker static", Says.CANNOT_TELL, "whether pacemaker starts at boot is not known"),
        ("sh: systemctl: not found", Says.CANNOT_TELL, "whether pacemaker starts at boot is not known"),
        ("pacemaker enabled\nSBD_STARTMODE=clean", Says.NO, "SBD_STARTMODE is clean"),
        ("pacemaker enabled\nSBD_STARTMODE=always", Says.YES, ""),
    ],
)
def test_whether_it_starts_at_boot(said: str, says: Says, why: str) -> None:
    found = by_units({A: NodeOutput("pacemaker enabled"), B: NodeOutput(said)}, ["pacemaker"])
    assert found.says is says and why in str(found)
    assert by_units({A: NodeOutput(said)}, ["pacemaker"], True).yes and by_units({A: NodeOutput(said)}, ["pacemaker"], False).no
    assert by_units({A: NodeOutput(None, "away")}, ["pacemaker"]).says is Says.CANNOT_TELL


def test_sbd_is_asked_how_it_starts_only_where_it_counts() -> None:
    """A node that was fenced does not join again with SBD_STARTMODE=clean, which only SBD's own file tells."""
    assert "grep SBD_STARTMODE" in at_boot_line(["pacemaker"], sbd=True) and "SBD" not in at_boot_line(["lifekeeper"])


def test_who_is_fenced_for_good() -> None:
    assert fenced_off(cib(action="off")) and not fenced_off(cib()) and not fenced_off(NodeOutput(""))


def test_what_is_counted_where_it_is_in_service() -> None:
    row = '<resource_history id="{}" migration-threshold="{}" fail-count="2"/>'
    rows = row.format("web", 3) + row.format("ip", 1000000) + row.format("ping", 3) + row.format("removed", 3)
    history = f'<node_history><node name="{A}">{rows}</node><node name="{B}">{row.format("web", 3)}</node></node_history>'
    assert failures_until_ban(changed("<node_history/>", history)) == {"web": (2, 3)}
    assert failures_until_ban("no XML") == {}


@pytest.mark.parametrize(
    ("node", "attribute", "value", "found"),
    [
        ("lknode02", "fail-count-web#start_0", "INFINITY", ["web has a fail count of INFINITY on lknode02"]),
        ("lknode02", "fail-count-web", "3", ["web has a fail count of 3 on lknode02"]),
        ("lknode02", "fail-count-web#start_0", "0", []),
        ("lknode01", "fail-count-web#start_0", "3", []),
        ("lknode02", "fail-count-of-a-stranger#start_0", "3", []),
        ("lknode02", "last-failure-web#start_0", "3", []),
    ],
)
def test_failures_that_are_counted_on_the_other_node_are_why(node: str, attribute: str, value: str, found: list[str]):
    pair = f'<nvpair id="a" name="{attribute}" value="{value}"/>'
    text = f'<cib><status><node_state uname="{node}"><transient_attributes id="1"><instance_attributes id="s">{pair}</instance_attributes>'
    told = NodeOutput(text + "</transient_attributes></node_state></status></cib>")
    assert [why.partition(", which")[0] for why in by_failures("lknode02", told, read(MONITOR)).against] == found

"""Settings of a cluster manager that let a failover happen in another way than people expect; their harmless neighbours are not told."""

from __future__ import annotations

from dataclasses import replace

import pytest
from diagnosis_sample import CLUSTER, evidence, faults, node, only, state

from harness.diagnosis import linux_host_script_parse
from harness.diagnosis.cause import Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Evidence
from harness.diagnosis.host_config.lifekeeper_settings import of_lifekeeper
from harness.diagnosis.host_config.manager_settings import of_pacemaker
from harness.managers.manager import Answer, Question, Says

CIB = """<cib><configuration><crm_config><cluster_property_set id="o">{options}</cluster_property_set></crm_config>
<resources>
<group id="cluster-services">
<primitive id="pgsql-5432" class="ocf" type="pgsql">{meta}<operations>{operations}</operations></primitive>
</group>
<primitive id="fence" class="stonith" type="fence_azure_arm"><instance_attributes id="i">{fence}</instance_attributes></primitive>
</resources>{defaults}</configuration>
<status><node_state uname="lknode01"><lrm><lrm_resources><lrm_resource id="pgsql-5432">
<lrm_rsc_op operation="start" rc-code="0" exec-time="{took}"/><lrm_rsc_op operation="stop" rc-code="1" exec-time="99000"/>
</lrm_resource></lrm_resources></lrm></node_state></status></cib>"""
NAMES = {"options": "", "meta": "", "operations": "", "fence": "", "defaults": "", "took": "1200"}

STOP = '<op id="a" name="stop" interval="0" on-fail="{}"/>'


def pair(name: str, value: str) -> str:
    return f'<nvpair id="{name}-{value}" name="{name}" value="{value}"/>'


def meta(name: str, value: str) -> str:
    return f'<meta_attributes id="m-{name}">{pair(name, value)}</meta_attributes>'


def said(**given: str) -> list[str]:
    return [one.says for one in of_pacemaker(CIB.format(**{**NAMES, **given}))]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"options": pair("shutdown-lock", "true")}, ("shutdown-lock", "until it is back")),
        ({"options": pair("shutdown-lock", "TRUE") + pair("shutdown-lock-limit", "5min")}, ("shutdown-lock", "for 5min")),
        ({"options": pair("startup-fencing", "0")}, ("startup-fencing",)),
        ({"options": pair("stonith-action", "off")}, ("stonith-action is off", "stays off")),
        ({"options": pair("no-quorum-policy", "ignore")}, ("no-quorum-policy is ignore", "starts alone", "wait_for_all")),
        ({"options": pair("stonith-timeout", "1s")}, ("fencing by fence is given up after 1 s (stonith-timeout)", "in Azure")),
        ({"options": pair("stonith-timeout", "60")}, ("after 60 s (stonith-timeout)",)),  # which is enough for other devices
        ({"fence": pair("pcmk_reboot_timeout", "1s")}, ("given up after 1 s (pcmk_reboot_timeout)",)),
        (
            {"options": pair("stonith-timeout", "900") + pair("stonith-action", "poweroff"), "fence": pair("pcmk_off_timeout", "5")},
            ("stays off", "given up after 5 s (pcmk_off_timeout)"),
        ),
        ({"meta": meta("requires", "nothing")}, ("pgsql-5432", "requires=nothing", "fenced")),
        ({"defaults": f"<rsc_defaults>{meta('requires', 'quorum')}</rsc_defaults>"}, ("pgsql-5432", "requires=quorum")),
        ({"meta": meta("critical", "false")}, ("pgsql-5432", "critical=false")),
        ({"fence": pair("pcmk_reboot_action", "metadata")}, ("fence", "pcmk_reboot_action", "metadata", "cuts nobody off")),
        ({"operations": '<op id="a" name="start" interval="0" timeout="500ms"/>'}, ("pgsql-5432", "0.5 s", "1.2 s", "start")),
        ({"operations": STOP.format("ignore")}, ("a failed stop of pgsql-5432 is ignored", "on-fail=ignore", "still runs")),
        ({"defaults": f"<op_defaults>{meta('on-fail', 'ignore')}</op_defaults>"}, ("a failed stop of pgsql-5432 is ignored",)),
        ({"took": "21000"}, ("pgsql-5432", "20 s", "21 s")),
        ({"took": "21000", "defaults": f"<op_defaults>{meta('timeout', '2s')}</op_defaults>"}, ("may take 2 s", "21 s")),
    ],
)
def test_what_it_does_is_told(given: dict[str, str], words: tuple[str, ...]) -> None:
    told = said(**given)
    assert len(told) == 1 + ("poweroff" in str(given)) and not [w for w in words if w not in " ".join(told)], told


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"options": pair("shutdown-lock", "false") + pair("startup-fencing", "true")},
        {"meta": meta("requires", "fencing") + meta("critical", "true")},
        {"meta": meta("requires", "nothing"), "options": pair("stonith-enabled", "false")},  # that is told by itself
        {"fence": pair("pcmk_reboot_action", "off") + pair("pcmk_delay_max", "15s")},
        {"options": pair("stonith-timeout", "900"), "fence": pair("pcmk_off_timeout", "1s")},  # nobody is switched off
        {"options": pair("stonith-timeout", "1s"), "fence": pair("pcmk_reboot_timeout", "900")},  # the device's own counts
        {"options": pair("stonith-timeout", "soon") + pair("stonith-action", "reboot")},
        {"operations": '<op id="a" name="start" interval="0" timeout="60"/><op id="b" name="stop" interval="0" timeout="1"/>'},
        {"operations": '<op id="a" name="start" interval="0" timeout="for ever"/>'},
        {"operations": STOP.format("block")},
        {"operations": STOP.format("fence"), "defaults": f"<op_defaults>{meta('on-fail', 'ignore')}</op_defaults>"},
        {"operations": '<op id="a" name="monitor" interval="10s" on-fail="ignore"/>'},
        {
            "operations": '<op id="a" name="stop" interval="0" id-ref="another"/>',
            "defaults": f"<op_defaults>{meta('on-fail', 'ignore')}</op_defaults>",
        },
    ],
)
def test_what_is_meant_or_usual_is_not(given: dict[str, str]) -> None:
    assert said(**given) == []


@pytest.mark.parametrize("text", ["", "<cib", "no CIB at all", "<cib/>", "<a><status><lrm_resource/></status></a>"])
def test_no_text_makes_it_raise(text: str) -> None:
    assert of_pacemaker(text) == ()


def test_what_an_agent_lacks_on_a_node_is_told_until_it_was_asked_again() -> None:
    def status(*ends: tuple[int, int]) -> str:
        done = "".join(f'<lrm_rsc_op operation="monitor" rc-code="{code}" call-id="{n}" exit-reason="no nc"/>' for n, code in ends)
        return f'<cib><status><node_state uname="lknode02"><lrm_resource id="lbhc-12345">{done}</lrm_resource></node_state></status></cib>'

    (told,) = of_pacemaker(status((9, 7), (10, 5)))
    assert not [w for w in ("lbhc-12345", "lknode02", "not installed", "no nc") if w not in told.says]
    assert of_pacemaker(status((9, 5), (10, 7))) == () == of_pacemaker(status((1, 0)))


def test_what_is_elsewhere_or_restricted_by_a_rule_is_not_read_as_if_it_counted() -> None:
    ruled = '<op_defaults><meta_attributes id="r"><rule id="x"/><nvpair id="y" name="timeout" value="2s"/></meta_attributes></op_defaults>'
    assert said(took="15000", defaults=ruled) == []
    assert said(took="21000", operations='<op id-ref="elsewhere"/>') == []
    assert of_pacemaker(CIB.format(**{**NAMES, "took": "99000"}).replace('type="pgsql"', 'template="t"')) == ()
    assert said(took="²") == [] and of_pacemaker('<cib><status><node_state><lrm_resource><lrm_rsc_op call-id="²"/></lrm_resource>'
                                                 "</node_state></status></cib>") == ()  # fmt: skip


def test_a_setting_that_many_mean_and_one_of_another_applications_clone() -> None:
    (critical,) = of_pacemaker(CIB.format(**{**NAMES, "meta": meta("critical", "false")}))
    hosts = {name: node(name, doubtful=(replace(critical, tag="exporter"),)) for name in ("lknode01", "lknode02")}
    (told,) = [c for c in diagnose(evidence(hosts=hosts)).causes if "critical" in c.says]
    assert told.certainty is Certainty.POSSIBLE
    cloned = CIB.format(**{**NAMES, "meta": meta("requires", "nothing")}).replace("group", "clone")
    (requires,) = of_pacemaker(cloned)
    assert requires.cloned and not [
        c for c in diagnose(evidence(hosts={"lknode02": node("lknode02", doubtful=(replace(requires, tag="other"),))})).causes
        if "requires" in c.says
    ]  # fmt: skip


def test_a_setting_of_a_resource_that_is_not_the_files_is_none_of_ours() -> None:
    (setting,) = of_pacemaker(CIB.format(**{**NAMES, "meta": meta("critical", "false")}))
    hosts = {name: node(name, doubtful=(setting,)) for name in ("lknode01", "lknode02")}
    only(evidence(hosts=hosts), "lknode02", "critical=false")
    assert faults(diagnose(evidence(hosts=hosts, unrelated_resources=frozenset({"pgsql-5432"})))) == []


def of_files(first: str, second: str) -> Evidence:
    hosts = {
        name: linux_host_script_parse.host(name, f"@@ settings\n{text}\n", "ip-10.20.1.200")
        for name, text in (("lknode01", first), ("lknode02", second))
    }
    return evidence(hosts={name: node(name, settings=seen.settings) for name, seen in hosts.items()})


def test_lifekeepers_heartbeats_must_be_the_same_on_both_nodes() -> None:
    only(of_files("LCMNUMHBEATS=3\nHC_TIMEOUT=60", "# more\nLCMNUMHBEATS=300"), "lknode02", "LCMNUMHBEATS", "300", "3 on lknode01")
    only(of_files("LKCHECKINTERVAL=120\n", "LCMHBEATTIME='30' # s"), "lknode02", "LCMHBEATTIME", "30", "5 on lknode01")
    assert faults(diagnose(of_files("LCMNUMHBEATS=3", "LCMHBEATTIME=5\nOTHER=1"))) == []  # what is absent has its default
    assert faults(diagnose(of_files("LCMNUMHBEATS=many", "LCMNUMHBEATS=3"))) == []
    assert of_lifekeeper('A=1\nexport B="two words"\n#C=3\nA=2') == {"A": "2", "B": "two words"}


def test_checks_of_the_ip_resource_that_are_off_on_one_node_only() -> None:
    only(
        of_files("NOBCASTPING=1", "NOBCASTPING=0\nNOIPUNIQUE=0"), "lknode02", "NOBCASTPING is 1 on lknode01 and 0 on lknode02", "broadcast"
    )
    only(of_files("LCMNUMHBEATS=3", "NOIPUNIQUE=1"), "lknode01", "NOIPUNIQUE is 0 on lknode01")
    for same in (("NOBCASTPING=0", "LCMNUMHBEATS=3"), ("IP_NOLINKCHECK=1", "IP_NOLINKCHECK=2"), ("NOBCASTPING=yes", "NOBCASTPING=0")):
        assert faults(diagnose(of_files(*same))) == [], same


def test_a_health_check_that_waits_less_than_a_probe_takes() -> None:
    interval_s = CLUSTER.load_balancer.probe.interval_s
    short = f"HC_TIMEOUT={interval_s / 2:g}"
    only(of_files("HC_TIMEOUT=60", short), "lknode02", "HC_TIMEOUT", f"{interval_s / 2:g} s", "balancer probes every")
    assert faults(diagnose(of_files("HC_TIMEOUT=60", f"HC_TIMEOUT={interval_s * 3:g}"))) == []


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ("# asked", True),
        ("!restore\n# asked", True),
        ("shutdown_switchover\n# asked", False),
        ("", False),  # nothing was told, which is not that no flag is set
        ("flg_list: LifeKeeper does not run", False),
    ],
)
def test_an_orderly_reboot_that_moves_nothing_is_worth_a_look(flags: str, told: bool) -> None:
    units = linux_host_script_parse.host("lknode01", f"@@ instances\n@@ flags\n{flags}\n").units
    causes = diagnose(evidence(hosts={"lknode01": node("lknode01", units=units), "lknode02": node("lknode02")})).causes
    found = [c for c in causes if "shutdown_switchover" in c.says and "reboot" in c.says]
    assert [(c.host, c.certainty) for c in found] == [("lknode01", Certainty.POSSIBLE)] * told
    standby = evidence(hosts={"lknode01": node("lknode01"), "lknode02": node("lknode02", units=units)})
    assert diagnose(standby).causes == ()  # it counts on the node that is shut down


def test_one_communication_path_where_two_are_possible() -> None:
    both = state()
    single = replace(both, nodes={name: replace(one, comm_paths=one.comm_paths[:1]) for name, one in both.nodes.items()})
    only(evidence(state=single), "lknode02", "one communication path only", "10.20.1.11/10.20.1.12")
    assert faults(diagnose(evidence(state=both))) == []
    pacemaker = CLUSTER.model_copy(update={"manager": CLUSTER.manager.model_copy(update={"kind": "pacemaker"})})
    assert faults(diagnose(evidence(state=single, cluster=pacemaker))) == []  # one ring is usual there
    witness = {name: node(name, settings={"QUORUM_MODE": "storage"}) for name in ("lknode01", "lknode02")}
    assert faults(diagnose(evidence(state=single, hosts=witness))) == []  # then the paths alone decide nothing


def test_what_fails_alone_is_told_as_that_and_each_reason_with_its_own_remedy() -> None:
    def no(*because: str) -> Answer:
        return Answer(Says.NO, because)

    alone = only(evidence(may_move={Question.FAILED: no("web in service on lknode01 unprotected")}), "lknode02", "when a resource fails")
    assert "protected" in alone.do
    simulated = only(evidence(may_move={Question.LOST: no("Pacemaker would have web stopped (crm_simulate)")}), "lknode02")
    assert "when a resource fails" not in simulated.says and "crm_simulate -sL" in simulated.do
    by_hand = only(evidence(may_move={Question.LOST: no("the constraint cli-ban forbids lknode02")}), "lknode02")
    assert "by hand" in by_hand.do


FENCED_NODES = '<nodes><node id="1" uname="lknode01"/><node id="2" uname="lknode02"/></nodes>'


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            pair("pcmk_host_map", "lknode01:lknode02;lknode02:lknode01"),
            ["cut off lknode02 when lknode01", "cut off lknode01 when lknode02"],
        ),
        (pair("pcmk_host_map", "lknode01:vm-a;lknode02:vm-a"), ["cut off one machine, vm-a, for lknode01", "cut off one machine"]),
        (pair("pcmk_host_map", "lknode01:lknode01 lknode02:lknode01"), ["cut off lknode01 when lknode02"]),
        (pair("pcmk_host_list", "lknode01") + pair("plug", "LKNODE02"), ["cut off lknode02 when lknode01"]),
        (pair("pcmk_host_map", "lknode01:vm-a;lknode02:vm-b"), []),
        (pair("pcmk_host_map", "lknode01:1,2;lknode02:3,4"), []),
        (pair("pcmk_host_map", "LKNODE01:lknode01;lknode02:lknode02"), []),
        (pair("pcmk_host_map", "other1:lknode01;other2:lknode01"), []),
        (pair("pcmk_host_list", "lknode01 lknode02") + pair("port", "lknode01"), []),
        (pair("pcmk_host_list", "lknode01") + pair("plug", "vm-a"), []),
    ],
)
def test_a_fence_device_that_would_cut_off_the_other_node(given: str, says: list[str]) -> None:
    configuration = CIB.format(**{**NAMES, "fence": given}).replace("<resources>", f"{FENCED_NODES}<resources>", 1)
    settings = of_pacemaker(configuration)
    assert len(settings) == len(says) and all(word in one.says for word, one in zip(says, settings, strict=True)), settings


def test_lifekeeper_that_looks_once_a_day() -> None:
    told = replace(
        evidence(), hosts={n: node(n, settings=of_lifekeeper(f"LKCHECKINTERVAL={s}")) for n, s in (("lknode01", 86400), ("lknode02", 120))}
    )
    only(told, "lknode01", "LKCHECKINTERVAL is 86400 s", "once in 24 hours", "120")
    for value in ("900", "nonsense", ""):
        hosts = {n: node(n, settings=of_lifekeeper(f"LKCHECKINTERVAL={value}\nA=1")) for n in ("lknode01", "lknode02")}
        assert faults(diagnose(replace(told, hosts=hosts))) == []


def constraint(id: str, more: str, within: str = "", defaults: str = "") -> list[tuple[str, bool]]:
    rule = f'<rsc_location id="{id}" rsc="cluster-services" {more}>{within}</rsc_location>'
    configuration = CIB.format(**{**NAMES, "defaults": f"<constraints>{rule}</constraints>{defaults}"})
    return [(one.node, one.mild) for one in of_pacemaker(configuration) if f"the constraint {id} " in f"{one.says} "
            or f"the constraint {id}," in one.says]  # fmt: skip


MONITOR = '<op id="m" name="monitor" interval="{}" timeout="{}"/>'
RAN = '<lrm_rsc_op operation="monitor" interval="{}" rc-code="{}" exec-time="{}"/>'


def monitored(interval: str, timeout: str, *runs: tuple[str, str, str], defaults: str = "") -> list[str]:
    text = CIB.format(**{**NAMES, "operations": MONITOR.format(interval, timeout), "defaults": defaults})
    ran = "".join(RAN.format(*run) for run in runs)
    return [one.says for one in of_pacemaker(text.replace("</lrm_resource>", f"{ran}</lrm_resource>")) if one.mild]


def test_a_monitor_that_takes_nearly_as_long_as_it_may() -> None:
    (says,) = monitored("10s", "20s", ("10000", "0", "17000"))
    assert "pgsql-5432 may take 20 s for its monitor, and one that succeeded took 17 s" in says
    (says,) = monitored("10s", "20s", ("10000", "8", "25000"), ("10000", "0", "100"))  # of a promoted one
    assert "took 25 s" in says
    (says,) = monitored("10s", "", ("10000", "0", "1700"), defaults=f"<op_defaults>{meta('timeout', '2s')}</op_defaults>")
    assert "may take 2 s" in says
    for runs in (
        [("10000", "0", "15000")],
        [("10000", "7", "19000")],  # it failed
        [("0", "0", "19000")],  # the first look, before anything is started
        [("5000", "0", "19000")],  # another monitor
        [("10000", "0", "many")],
        [],
    ):
        assert monitored("10s", "20s", *runs) == [], runs
    assert monitored("", "20s", ("0", "0", "19000")) == [] and monitored("P1M", "20s", ("0", "0", "19000")) == []


def test_quorum_that_is_ignored_without_fencing_is_no_word_more() -> None:
    assert said(options=pair("no-quorum-policy", "ignore") + pair("stonith-enabled", "false")) == []
    assert said(options=pair("no-quorum-policy", "freeze")) == []


HERE = '<rule id="r" score="INFINITY"><expression id="e" attribute="#uname" operation="eq" value="lknode02"/>{}</rule>'
UNTIL = '<date_expression id="d" operation="lt" end="2030-01-01"/>'


@pytest.mark.parametrize(
    ("id", "more", "within", "told"),
    [
        ("cli-prefer-cluster-services", 'node="lknode02" score="INFINITY"', "", [("lknode02", False)]),
        ("cli-prefer-cluster-services", "", HERE.format(""), [("lknode02", False)]),  # as older versions write it
        ("cli-prefer-cluster-services", "", HERE.format(UNTIL), []),  # it ends by itself
        ("home", 'node="lknode01" score="INFINITY"', "", [("lknode01", True)]),  # many mean it
        ("home", 'node="lknode01" score="50"', "", []),
        ("home", 'node="lknode01" score="-INFINITY"', "", []),
        ("home", 'node="lknode01" score="INFINITY"', HERE.format(""), []),
    ],
)
def test_what_brings_everything_back_by_itself(id: str, more: str, within: str, told: list[tuple[str, bool]]) -> None:
    assert constraint(id, more, within) == told
    sticky = f"<rsc_defaults>{meta('resource-stickiness', 'INFINITY')}</rsc_defaults>"
    assert constraint(id, more, within, sticky) == []


def test_a_move_by_hand_is_told_of_the_node_that_it_prefers() -> None:
    rule = '<rsc_location id="cli-prefer-cluster-services" rsc="cluster-services" node="lknode01" score="INFINITY"/>'
    doubtful = of_pacemaker(CIB.format(**{**NAMES, "defaults": f"<constraints>{rule}</constraints>"}))
    hosts = {name: node(name, doubtful=doubtful) for name in ("lknode01", "lknode02")}
    cause = only(evidence(hosts=hosts), "lknode01", "cli-prefer-cluster-services", "moves back", "second outage", "crm_resource --clear")
    assert cause.certainty is Certainty.LIKELY
    mild = tuple(replace(one, mild=True) for one in doubtful)
    hosts = {name: node(name, doubtful=mild) for name in ("lknode01", "lknode02")}
    assert [c.certainty for c in diagnose(evidence(hosts=hosts)).causes] == [Certainty.POSSIBLE]


RULED = (
    '<op_defaults><meta_attributes id="long"><rule score="INFINITY"><rsc_expression type="pgsql"/></rule>{}</meta_attributes></op_defaults>'
)
SBD = CIB.replace('type="fence_azure_arm"', 'type="external/sbd"')


def test_what_is_right_in_ordinary_clusters_is_not_told() -> None:
    assert said(defaults=RULED.format(pair("timeout", "600s")), took="45000") == [], "which operations the defaults are for is not known"
    assert said(took="45000") != []
    sbd = SBD.format(**{**NAMES, "options": pair("stonith-timeout", "12")})
    assert [one.says for one in of_pacemaker(sbd)] == [] and said(options=pair("stonith-timeout", "12")) != []
    off = pair("stonith-enabled", "false")
    for options, fence in (
        (pair("stonith-timeout", "1s"), ""),
        (pair("startup-fencing", "0"), ""),
        ("", pair("pcmk_reboot_action", "monitor")),
    ):
        assert said(options=off + options, fence=fence) == [], "nothing is fenced, which is told by itself"
        assert said(options=options, fence=fence) != []
    mail = CIB.replace('type="pgsql"', 'type="MailTo"').format(**{**NAMES, "operations": STOP.format("ignore")})
    assert [one.mild for one in of_pacemaker(mail)] == [True]


def test_a_stickiness_of_a_million_is_without_limit() -> None:
    rule = '<constraints><rsc_location id="cli-prefer-g" rsc="cluster-services" node="lknode01" score="INFINITY"/></constraints>'
    for value, told in (("1000000", 0), ("INFINITY", 0), ("1000", 1)):
        defaults = f"<rsc_defaults>{meta('resource-stickiness', value)}</rsc_defaults>{rule}"
        assert len([s for s in said(defaults=defaults) if "cli-prefer-g" in s]) == told

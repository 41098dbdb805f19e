"""What Pacemaker's configuration says of each resource: whether it is watched, by its own operations or its template's."""

from __future__ import annotations

import shlex
import subprocess
from dataclasses import replace
from os import environ
from pathlib import Path
from typing import Any

import pytest
from diagnosis_sample import CLUSTER, IN, OUT, WEB, evidence, faults, node, only, state, with_host

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.host_config.cib_settings.pacemaker_orders import after_address
from harness.diagnosis.host_config.cib_settings.pacemaker_orders import of_pacemaker as orders
from harness.diagnosis.host_config.pacemaker_resources import parse
from harness.diagnosis.linux_host_script_parse import host
from harness.managers.manager import Answer, Question, ResourceState, Says
from harness.managers.pacemaker_survey import PROGRAMS

OWN = '<primitive id="lb" class="ocf" provider="heartbeat" type="azure-lb">{}</primitive>'
MADE = '<primitive id="lb" template="balancer">{}</primitive>'
TEMPLATE = '<template id="balancer" class="ocf" provider="heartbeat" type="azure-lb">{}</template>'
PORT = '<instance_attributes id="i"><nvpair id="j" name="port" value="{}"/></instance_attributes>'
EVERY_10 = '<op id="m" name="monitor" interval="10s"/>'
OFF = '<op id="n" name="monitor" interval="{}" enabled="false"/>'


PAIR = '<nvpair id="p" name="{}" value="{}"/>'
GIVEN = f'<instance_attributes id="a">{PAIR}</instance_attributes>'
GROUP = '<group id="g">{}</group>'
DISK = f'<primitive id="disk" class="ocf" provider="heartbeat" type="Filesystem">{GIVEN.format("directory", "/srv/x")}</primitive>'
DB = f'<primitive id="db" class="ocf" provider="heartbeat" type="pgsql">{GIVEN.format("pgdata", "/srv/x/data")}</primitive>'
ADDRESS = '<primitive id="ip" class="ocf" provider="heartbeat" type="IPaddr2"/>'
ORDER = '<rsc_order id="o1" first="{}" then="{}" {}/>'
SETS = '<rsc_order id="o1"><resource_set id="s" {}>{}</resource_set></rsc_order>'


def cib(resources: str) -> str:
    return f"<cib><configuration><resources>{resources}</resources></configuration></cib>"


def operations(*those: str) -> str:
    return f"<operations>{''.join(those)}</operations>"


@pytest.mark.parametrize(
    ("resources", "watched"),
    [
        (OWN.format(operations(EVERY_10)), "yes"),
        (OWN.format(operations(EVERY_10, OFF.format("60s"))), "yes"),
        (OWN.format(operations(OFF.format("10s"))), "none"),
        (OWN.format(operations(EVERY_10.replace("10s", "0s"))), "none"),
        (OWN.format(operations(EVERY_10.replace("/>", ' role="Stopped"/>'))), "none"),
        (OWN.format(""), "none"),
        (TEMPLATE.format(operations(EVERY_10)) + MADE.format(""), "yes"),
        (TEMPLATE.format(operations(EVERY_10)) + MADE.format(operations(OFF.format("10s"))), "none"),  # which stands for the template's
        (TEMPLATE.format(operations(EVERY_10)) + MADE.format(operations(OFF.format("60s"))), "yes"),
        (TEMPLATE.format("") + MADE.format(""), "none"),
        (MADE.format(""), None),  # the template is not there to be read
        (OWN.format('<operations id-ref="of-another"/>'), None),
        (OWN.format('<operations id-ref="of-another"/>' + operations(EVERY_10)), "yes"),
    ],
)
def test_whether_a_resource_is_watched(resources: str, watched: str | None) -> None:
    assert parse(cib(resources), "ip").get("monitor lb") == watched


def test_a_resource_has_what_its_template_says_and_its_own_words_first() -> None:
    found = parse(cib(TEMPLATE.format(PORT.format(1)) + MADE.format("")), "ip")
    assert (found["agent lb"], found["port lb"], found["script lb"]) == ("azure-lb", "1", OCF)
    assert parse(cib(TEMPLATE.format(PORT.format(1)) + MADE.format(PORT.format(2))), "ip")["port lb"] == "2"
    assert parse("", "ip") == parse("<cib", "ip") == {}


def test_a_service_and_an_address_without_a_monitor_are_told() -> None:
    unwatched = with_host(node("lknode01", units={f"monitor {WEB.tag}": "none"}))
    assert only(unwatched, "lknode01", f"{WEB.tag} has no monitor operation", f"port {WEB.port} dies").certainty is Certainty.CERTAIN
    vip = only(with_host(node("lknode01", units={"monitor ip-10.20.1.200": "none"})), "lknode01", "10.20.1.200 is taken away")
    assert vip.certainty is Certainty.LIKELY


@pytest.mark.parametrize(
    ("units", "here"),
    [
        ({f"monitor {WEB.tag}": "yes"}, IN),
        ({}, IN),
        ({f"monitor {WEB.tag}": "none", "option maintenance-mode": "true"}, IN),
        ({f"monitor {WEB.tag}": "none"}, ResourceState.UNPROTECTED),  # nobody manages it
        ({"monitor another": "none"}, IN),
    ],
)
def test_what_is_watched_or_left_alone_is_not(units: dict[str, str], here: ResourceState) -> None:
    told = diagnose(evidence(hosts={**evidence().hosts, "lknode01": node("lknode01", units=units)}, state=state({WEB.tag: here})))
    assert not [c for c in faults(told) if "monitor" in c.says], OUT


def test_a_wish_to_be_together_that_pacemaker_follows_leaves_nothing_behind() -> None:
    says = "moving cluster-services (manager.resource) does not move ip-10.20.1.200, which the cluster manager has besides"
    of_pacemaker = CLUSTER.model_copy(update={"manager": CLUSTER.manager.model_copy(update={"kind": "pacemaker"})})
    for cluster, answered, found in ((of_pacemaker, Says.YES, 0), (of_pacemaker, Says.CANNOT_TELL, 1), (CLUSTER, Says.YES, 1)):
        may = {Question.LOST: Answer(Says.YES), Question.FAILED: Answer(answered)}
        seen = replace(evidence(left_behind=[says], may_move=may), cluster=cluster)
        assert len([c for c in faults(diagnose(seen)) if "would not follow" in c.says]) == found


OCF, SBIN = "/usr/lib/ocf/resource.d/heartbeat/azure-lb", "/usr/sbin/fence_x"
FENCE = '<primitive id="f" class="stonith" type="fence_x"><instance_attributes id="k">{}</instance_attributes><operations>'
FENCE += f"{EVERY_10}</operations></primitive>"
THERE, GONE = ("", "/"), ("is not there", "")


def agents(resources: str, here: dict[str, tuple[str, str]], there: dict[str, tuple[str, str]], rules: str = "") -> list[Cause]:
    units = parse(cib(resources).replace("</configuration>", f"<constraints>{rules}</constraints></configuration>"), "ip")
    seen = evidence()
    hosts = {"lknode01": replace(seen.hosts["lknode01"], units=units, programs=here)}
    hosts["lknode02"] = replace(seen.hosts["lknode02"], units=units, programs=there)
    return faults(diagnose(replace(seen, hosts={**seen.hosts, **hosts})))


@pytest.mark.parametrize(
    ("resources", "file", "words"),
    [
        (OWN.format(operations(EVERY_10)), OCF, ("resource agent of lb", "is not there on lknode02", "lb could not start there")),
        (TEMPLATE.format(operations(EVERY_10)) + MADE.format(""), OCF, ("resource agent of lb",)),
        (FENCE.format(""), SBIN, ("fence agent of f", "lknode02 could not fence lknode01")),
        (FENCE.format(PAIR.format("pcmk_host_list", "lknode01,lknode02")), SBIN, ("fence agent of f",)),
        (FENCE.format(PAIR.format("pcmk_host_map", "lknode01:vm1;lknode02:vm2")), SBIN, ("fence agent of f",)),
    ],
)
def test_an_agent_that_the_standby_lacks(resources: str, file: str, words: tuple[str, ...]) -> None:
    (told,) = agents(resources, {file: THERE}, {file: GONE})
    assert told.host == "lknode02" and told.certainty is Certainty.LIKELY and not [w for w in words if w not in told.says], told


@pytest.mark.parametrize(
    ("resources", "file", "here", "there", "rules"),
    [
        (OWN.format(operations(EVERY_10)), OCF, THERE, THERE, ""),
        (OWN.format(operations(EVERY_10)), OCF, GONE, GONE, ""),
        (OWN.format(operations(EVERY_10)), OCF, ("", "/srv/shared"), GONE, ""),
        (OWN.format(operations(EVERY_10)), OCF, None, GONE, ""),
        (OWN.format(operations(EVERY_10)), OCF, THERE, None, ""),  # the account may not look
        (OWN.format(operations(EVERY_10)), OCF, THERE, GONE, '<rsc_location id="x" rsc="lb" node="lknode02" score="-INFINITY"/>'),
        (FENCE.format(""), SBIN, THERE, GONE, '<rsc_location id="x" rsc="f" node="lknode02" score="-INFINITY"/>'),
        (FENCE.format(PAIR.format("pcmk_host_list", "lknode02")), SBIN, THERE, GONE, ""),  # which lknode02 does not need
        (FENCE.replace("fence_x", "external/x").format(""), SBIN, THERE, GONE, ""),
    ],
)
def test_an_agent_that_is_not_needed_there_or_of_which_nothing_is_known(
    resources: str, file: str, here: Any, there: Any, rules: str
) -> None:
    assert agents(resources, {file: here} if here else {}, {file: there} if there else {}, rules) == []


def test_how_a_host_tells_of_agents(tmp_path: Path) -> None:
    text = cib(
        FENCE.replace("fence_x", "fence_x; id").format("")
        + FENCE.replace("fence_x", "fence_not_here").format(PAIR.format("binfile", "/no/*"))
        + OWN.format("").replace("azure-lb", "../../../../bin/sh")
        + TEMPLATE.format("")
    )
    shown = subprocess.run(
        ["sh", "-c", f"cib={shlex.quote(text)}; {PROGRAMS}"], capture_output=True, text=True, env={**environ, "LC_ALL": "C"}
    )
    seen = host("it", f"@@ programs\n{shown.stdout}").programs
    assert shown.stderr == "" and seen["/usr/sbin/fence_not_here"] == seen["/no/*"] == ("is not there", "")
    assert set(seen) <= {"/usr/bin/nc", "/usr/bin/socat", "/no/*", "/usr/sbin/fence_not_here", OCF}
    assert host("it", "@@ programs\n= /usr/bin/nc\n755 5 / regular file\nstat: cannot statx '/x': No such file or directory").programs == {
        "/usr/bin/nc": ("", "/"),
        "/x": ("is not there", ""),
    }


@pytest.mark.parametrize(
    ("resources", "rules", "found"),
    [
        (GROUP.format(DISK + DB), "", ""),
        (GROUP.format(DB + DISK), "", "disk is started behind it"),
        (GROUP.format(ADDRESS + DISK + ADDRESS.replace("ip", "jp") + DB), "", ""),
        (GROUP.format(DB) + DISK, "", "no order and no group has disk started first"),
        (GROUP.format(DB) + DISK, '<rsc_colocation id="c" rsc="g" with-rsc="disk"/>', "no order"),
        (GROUP.format(DB) + DISK, ORDER.format("disk", "g", ""), ""),
        (GROUP.format(DB) + DISK, ORDER.format("disk", "db", 'kind="Optional"'), "o1) is optional"),
        (GROUP.format(DB) + DISK, ORDER.format("disk", "db", 'score="0"'), "o1) is optional"),
        (GROUP.format(DB) + DISK, ORDER.format("disk", "g", 'kind="Mandatory" score="0"'), ""),
        (GROUP.format(DB) + DISK, ORDER.format("disk", "db", 'symmetrical="false"'), "o1) is of starts alone"),
        (GROUP.format(DISK + DB), ORDER.format("disk", "db", 'symmetrical="false"'), ""),
        (
            GROUP.format(DB) + DISK,
            ORDER.format("disk", "db", 'symmetrical="false"') + ORDER.format("db", "disk", 'first-action="stop"').replace("o1", "o2"),
            "",
        ),
        (GROUP.format(DB) + DISK, ORDER.format("disk", "db", 'kind="Serialize"'), "no order"),
        (GROUP.format(DB) + DISK, ORDER.format("g", "disk", ""), "disk is started behind it"),
        (GROUP.format(DB) + DISK, ORDER.format("g", "disk", 'first-action="stop"'), ""),
        (GROUP.format(DB) + DISK, ORDER.format("disk", "somebody", ""), "no order"),  # which Pacemaker ignores
        (GROUP.format(DB) + DISK + ADDRESS, ORDER.format("disk", "ip", "") + ORDER.format("ip", "g", "").replace("o1", "o2"), ""),
        (DB + DISK, SETS.format("", '<resource_ref id="disk"/><resource_ref id="db"/>'), ""),
        (DB + DISK, SETS.format('sequential="false"', '<resource_ref id="disk"/><resource_ref id="db"/>'), "no order"),
        (DB + DISK, SETS.format("", '<resource_ref id="disk"/></resource_set><resource_set id="t"><resource_ref id="db"/>'), ""),
        (f'<clone id="c">{DISK}</clone>' + GROUP.format(DB), ORDER.format("c", "g", ""), ""),
        (f'<clone id="c">{DISK}</clone>' + GROUP.format(DB), "", "no order"),
        (GROUP.format(DISK + DB) + DISK.replace("disk", "disk2").replace("dd", "ee"), "", ""),  # two that take turns in one place
        (
            GROUP.format('<meta_attributes id="m"><nvpair id="mo" name="ordered" value="false"/></meta_attributes>' + DISK + DB),
            "",
            "no order",
        ),
        (GROUP.format(DB.replace("/srv/x/", "/srv/y/") + DISK), "", ""),
    ],
)
def test_what_lies_on_a_file_system_starts_after_it(resources: str, rules: str, found: str) -> None:
    text = cib(resources).replace("</configuration>", f"<constraints>{rules}</constraints></configuration>")
    told = [one for one in orders(text) if "no resource of the cluster" not in one.says]
    assert [(one.tag, found in one.says) for one in told] == ([("db", True)] if found else []), told
    assert orders("") == orders("<cib") == orders("<cib/>") == ()


ALONE = DB.replace("/srv/x/", "/srv/y/")


@pytest.mark.parametrize(
    ("resources", "rules", "found"),
    [
        (GROUP.format(ADDRESS + ALONE), "", "yes"),
        (GROUP.format(ALONE + ADDRESS), "", "no"),
        (ADDRESS + ALONE, "", "no"),
        (ADDRESS + ALONE, '<rsc_colocation id="c" rsc="ip" with-rsc="db"/>', "no"),
        (ADDRESS + GROUP.format(ALONE), ORDER.format("ip", "g", ""), "yes"),
        (ADDRESS + ALONE, ORDER.format("ip", "somebody", ""), "no"),  # which Pacemaker ignores
        (ALONE, "", None),
    ],
)
def test_whether_a_service_is_started_after_the_address(resources: str, rules: str, found: str | None) -> None:
    text = cib(resources).replace("</configuration>", f"<constraints>{rules}</constraints></configuration>")
    assert after_address(text, "ip").get("after the address db") == found
    assert host("it", f"@@ configuration\n{text}\n", "ip").units.get("after the address db") == found
    assert after_address("", "ip") == after_address("<cib/>", "ip") == {}


@pytest.mark.parametrize(
    ("address", "order", "nonlocal_bind", "told"),
    [
        ("10.20.1.200", "no", "0", True),
        ("10.20.1.200", "yes", "0", False),
        ("10.20.1.200", None, "0", False),  # it cannot be told
        ("10.20.1.200", "no", "1", False),
        ("10.20.1.200", "no", None, False),
        ("0.0.0.0", "no", "0", False),
    ],
)
def test_a_service_that_listens_on_the_vip_alone_and_may_start_before_it(
    address: str, order: str | None, nonlocal_bind: str | None, told: bool
) -> None:
    base = evidence(cluster=CLUSTER.model_copy(update={"design": "floating"}))
    units = {f"after the address {WEB.tag}": order} if order else {}
    listeners = [replace(s, address=address) if s.port == WEB.port else s for s in base.hosts["lknode01"].listeners or ()]
    settings = {"ip_nonlocal_bind": nonlocal_bind} if nonlocal_bind else {}
    hosts = {**base.hosts, "lknode01": node("lknode01", listeners=listeners, units=units), "lknode02": node("lknode02", sysctls=settings)}
    found = [c for c in faults(diagnose(replace(base, hosts=hosts))) if "ip_nonlocal_bind" in c.says]
    assert [(c.host, c.certainty) for c in found] == [("lknode02", Certainty.LIKELY)] * told
    assert not told or (f"{WEB.tag} listens on 10.20.1.200 only" in found[0].says and "ip-10.20.1.200 started before it" in found[0].says)


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        (ORDER.format("disk", "somebody", ""), ["o1 names somebody"]),
        ('<rsc_colocation id="c" rsc="db" with-rsc="cluster-service" score="INFINITY"/>', ["c names cluster-service"]),
        (SETS.format("", '<resource_ref id="disk"/><resource_ref id="dbx"/>'), ["o1 names dbx"]),
        ('<rsc_location id="l" rsc="gone" node="n" score="-INFINITY"/>', []),  # which harms nothing
        ('<rsc_location id="l" rsc-pattern="d.*" node="n" score="-INFINITY"/>', []),
        (ORDER.format("disk", "db:0", "") + ORDER.format("g", "both", "").replace("o1", "o2"), []),
        ('<rsc_ticket id="t" rsc="db" ticket="T"/>', []),
    ],
)
def test_constraints_about_resources_that_are_not_there(rules: str, told: list[str]) -> None:
    text = cib(GROUP.format(DB) + DISK)
    tags = '<tags><tag id="both"><obj_ref id="db"/></tag></tags>'
    text = text.replace("</configuration>", f"{tags}<constraints>{rules}</constraints></configuration>")
    found = [one for one in orders(text) if "no resource of the cluster" in one.says]
    assert len(found) == len(told) and all(words in one.says for one, words in zip(found, told, strict=True)), found


ON = '<rule id="r{0}" score="INFINITY"><expression id="e{0}" attribute="#uname" operation="{1}" value="{0}"/></rule>'
NICS = "".join(
    f'<instance_attributes id="s{node}" score="{score}">{ON.format(node, operation)}{PAIR.format("nic", nic)}</instance_attributes>'
    for node, operation, nic, score in (("n1", "eq", "eth1", 1), ("n2", "eq", "ens5", 2))
)


def test_parameters_that_hold_on_one_node() -> None:
    address = f'<primitive id="ip" class="ocf" provider="heartbeat" type="IPaddr2">{NICS}</primitive>'
    assert [parse(cib(address), "ip", node).get("ip nic") for node in ("n1", "n2", "n3")] == ["eth1", "ens5", None]
    usual = f'<instance_attributes id="u">{PAIR.format("nic", "eth9")}</instance_attributes></primitive>'
    both = address.replace("</primitive>", usual)
    assert [parse(cib(both), "ip", node)["ip nic"] for node in ("n1", "n2", "n3")] == ["eth1", "ens5", "eth9"]
    by_date = both.replace('attribute="#uname"', 'attribute="#kind"')
    assert parse(cib(by_date), "ip", "n1")["ip nic"] == "eth9", "what is not known here does not count"

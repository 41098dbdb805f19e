"""Every script on PowerShell itself, against stand-ins for Windows' cmdlets: none, one, many, an error, a warning, a slow answer."""

from __future__ import annotations

import os
import socket

import pytest
from powershell_process import JOB, SCENES, Loop, as_json, job_runner

from harness.hosts.windows import windows_parse
from harness.hosts.windows.script_contract import contract_of, contracts, misfit

QUOTES = 'it\'s "x" \u2018\u2019\u201a\u201b\u201e\u201c `$(1)'
MOMENTS = {"Begin": "2026-11-20T10:00:00.000000Z", "End": "2026-11-20T11:00:00.500000Z"}
# What each script is asked with; what "one" and "none" mean to it is in EXPECTED.
ASKED: dict[str, dict] = {
    "addresses": {}, "listeners": {}, "route": {"Address": "10.20.1.200"}, "interfaces": {}, "firewall": {}, "tcp-settings": {},
    "service": {"Name": "ClusSvc", "Detail": True}, "service-change": {"Name": "LifeKeeper", "Action": "stop", "Along": ["LKExt"]},
    "events": {**MOMENTS, "Logs": ["System", "Application"], "Source": "o'neil", "Most": 10}, "host": {"Boot": True},
    "process": {"Id": 1}, "wsfc-state": {}, "wsfc-change": {"Action": "move", "Name": "role", "Node": "LKNODE02"},
    "lifekeeper-command": {"Command": "lcdstatus", "Words": ["-q", "", 'say "x\\"', "it's", "a b\\"]}, "lifekeeper-settings": {},
    "operating-system": {}, "routes": {}, "connections": {}, "time-source": {}, "processes": {}, "versions": {}, "adapters": {},
    "lifekeeper-program": {"Command": "perform_action"}, "job-state": {}, "job-remove": {"Name": "0" * 12},
    "job-start": {"Name": JOB, "Line": "true", "Program": "/bin/true", "Runner": job_runner()},
    "attempts": {"Address": "127.0.0.1", "Port": 1, "Count": 2, "EveryMs": 10, "LimitMs": 2000},
}  # fmt: skip
# Of these no cmdlet of Windows is asked, or one whose failure is a warning only.
BY_FILES = ("process", "processes", "lifekeeper-settings", "lifekeeper-program", "job-state", "job-remove")
NO_CMDLET = (*BY_FILES, "versions", "time-source", "attempts")
NEEDS_NO_CMDLET = (*NO_CMDLET, "lifekeeper-command")
MISSING = {("service-change", "none"), ("service-change", "one"), ("wsfc-state", "none"), ("wsfc-change", "none")}
SLOW = [name for name in ASKED if name not in (*BY_FILES, "attempts")]  # that one's limit, and a file's, have tests of their own
# What a script does only where it is asked for it.
ALSO = [("wsfc-state", {"Group": "role"}), ("wsfc-state", {"Resource": "ip"}), ("wsfc-change", {"Action": "start", "Name": "ip"})]
ALSO += [("wsfc-change", {"Action": "stop", "Name": "ip"}), ("service", {"Name": "Life", "Prefix": True}), ("host", {})]
ALSO += [("service-change", {"Name": "LifeKeeper", "Action": "start"}), ("lifekeeper-command", {"Command": "flg_list"})]


def test_every_script_is_asked():
    disturbing = {name for name, one in contracts().items() if one.path.parent.name == "disruption"}  # each has a test file of its own
    assert set(ASKED) | disturbing == set(contracts())


@pytest.mark.parametrize("scene", [scene for scene in SCENES if scene != "slow"])
@pytest.mark.parametrize("name", sorted(ASKED))
def test_its_answer_is_what_its_contract_says(loops, name, scene):
    answer = loops(scene).answer(name, ASKED[name])
    if (name, scene) in MISSING:
        assert not answer.ok and answer.error == "Missing" and answer.missing and answer.rows == ()
        return
    if scene == "error" and name not in NEEDS_NO_CMDLET:
        assert not answer.ok and "," in answer.error and answer.message, as_json(answer)
        return
    assert answer.ok and answer.error == "", as_json(answer)
    faults = [misfit(contract_of(name), row) for row in answer.rows]
    assert not any(faults), faults
    assert answer.rows or contract_of(name).none
    if scene == "warning" and name not in NO_CMDLET:
        assert "Der Dienst antwortet langsam" in answer.warnings


@pytest.mark.parametrize("scene", [scene for scene in SCENES if scene != "slow"])
@pytest.mark.parametrize(("name", "parameters"), ALSO, ids=str)
def test_what_it_is_asked_besides_is_answered_as_its_contract_says_or_with_an_error(loops, name, parameters, scene):
    answer = loops(scene).answer(name, parameters)
    assert answer.ok or (answer.error and answer.why), as_json(answer)
    assert [fault for row in answer.rows if (fault := misfit(contract_of(name), row))] == []


@pytest.mark.parametrize("name", ["addresses", "listeners", "interfaces", "events", "service"])
def test_none_is_no_row_and_not_a_null(loops, name):
    answer = loops("none").answer(name, ASKED[name])
    assert answer.ok and answer.rows == ()


def test_none_of_a_firewall_and_of_ports(loops):
    for name in ("firewall", "tcp-settings"):
        assert loops("none").answer(name, {}).ok


@pytest.mark.parametrize("name", SLOW)
def test_what_does_not_answer_ends_at_its_limit(loops, name):
    answer = loops("slow").answer(name, ASKED[name], limit=1.5)
    assert not answer.ok and answer.error == "Limit"


def test_a_file_that_cannot_be_read_to_its_end_ends_at_the_limit(environment, tmp_path):
    """A share that hangs, for example: the answer comes all the same."""
    file = tmp_path / "etc" / "default" / "LifeKeeper"
    file.parent.mkdir(parents=True)
    os.mkfifo(file)
    loop = Loop(environment("many", LKROOT=str(tmp_path)))
    assert loop.line().ready
    answer = loop.answer("lifekeeper-settings", {}, limit=1.5)
    assert not answer.ok and answer.error == "Limit"
    assert loop.answer("host", {}).ok, "no other waits for it"
    os.close(os.open(file, os.O_WRONLY))  # who reads it has its end now
    assert loop.end() == 0


def test_connections_are_answered_refused_and_silent(loops):
    def asked(port: int, **more: int) -> list[dict]:
        given = {"Address": "127.0.0.1", "Port": port, "Count": 3, "EveryMs": 50, "LimitMs": 1000, **more}
        answer = loops("many").answer("attempts", given)
        assert answer.ok, as_json(answer)
        assert not any(misfit(contract_of("attempts"), row) for row in answer.rows)
        return list(answer.rows)

    with socket.create_server(("127.0.0.1", 0), backlog=16) as listener:
        port = listener.getsockname()[1]
        rows = asked(port)
        assert [row["Outcome"] for row in rows] == ["answered"] * 3
        assert sorted(listener.accept()[1][1] for _ in range(3)) == sorted(int(row["Port"]) for row in rows)
    assert [row["Outcome"] for row in asked(port, Count=1)] == ["ConnectionRefused"]
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.create_connection(full.getsockname()):
        silent = asked(full.getsockname()[1], LimitMs=300)
        assert [row["Outcome"] for row in silent] == ["silent"] * 3 and min(row["TookMs"] for row in silent) >= 300
        hung = {"Address": "127.0.0.1", "Port": full.getsockname()[1], "Count": 1, "EveryMs": 50, "LimitMs": 600000}
        assert loops("many").answer("attempts", hung, limit=1.5).error == "Limit"


@pytest.mark.parametrize("given", [{"Count": 0}, {"Count": 257}, {"Address": "no address"}, {"Port": 70000}])
def test_connections_that_cannot_be_meant_are_refused(loops, given):
    answer = loops("many").answer("attempts", {**ASKED["attempts"], **given})
    assert not answer.ok and answer.message and answer.rows == ()


def test_addresses_are_parsed(loops):
    found = windows_parse.addresses(loops("many").answer("addresses", {}).rows)
    assert [(x.interface, x.address, x.prefix) for x in found] == [
        ("Ethernet", "10.20.1.11", 24),
        ("Ethernet", "10.20.1.200", 24),
        (QUOTES, "fe80::1", 64),
    ]
    assert [x.state for x in found] == ["UP", "DUPLICATE", "TENTATIVE"]
    assert [row["SkipAsSource"] for row in loops("many").answer("addresses", {}).rows] == [False, True, False]


def test_listeners_are_parsed(loops):
    found = windows_parse.listeners(loops("many").answer("listeners", {}).rows)
    assert [(x.address, x.port) for x in found] == [("0.0.0.0", 1521), ("::", 445)] and found[0].process


def test_a_duplicate_address_is_not_local_and_error_1231_is_no_route(loops):
    """WNET-45, WNET-49."""
    many, none = (windows_parse.route(loops(scene).answer("route", ASKED["route"]).rows) for scene in ("many", "none"))
    assert (many.kind, many.interface, many.source) == ("unicast", "Ethernet", "10.20.1.11") and none.kind == "unreachable"
    assert windows_parse.route(loops("many").answer("route", {"Address": "10.20.1.11"}).rows).kind == "local"


def test_rules_are_joined_with_their_filters(loops):
    rows = windows_parse.firewall(loops("many").answer("firewall", {}).rows)
    oracle, other = rows.rules
    assert (oracle["Name"], oracle["Protocol"], oracle["LocalPort"]) == ("Oracle", "TCP", ["1521", "5000-5010"])
    assert (oracle["Profile"], oracle["EnforcementStatus"], oracle["Program"]) == ("Domain, Private", ["Full"], "C:\\x\\it's.exe")
    assert (other["Name"], other["Action"], other["Protocol"], other["LocalPort"]) == (QUOTES, "Block", "Any", ["Any"])
    assert oracle["RemoteAddress"] == ["LocalSubnet", "10.0.0.0/255.0.0.0"]
    assert {row["InterfaceAlias"]: row["NetworkCategory"] for row in rows.nics} == {"Ethernet": "DomainAuthenticated", QUOTES: "Public"}


@pytest.mark.parametrize(("name", "program"), [("tcp-settings", "netsh"), ("time-source", "w32tm"), ("versions", "reg")])
def test_a_program_that_does_not_start_is_named(environment, name, program):
    """Blocked by AppLocker, or not on PATH: what starts it names it in no language."""
    loop = Loop(environment("many", PATH="/nonexistent"))
    assert loop.line().ready
    answer = loop.answer(name, {})
    assert answer.error == "Missing" and answer.missing[0].startswith(f"{program} does not start there (")
    assert loop.end() == 0


def test_ports_of_netsh_and_of_the_registry(loops):
    rows = loops("many").answer("tcp-settings", {}).rows
    assert [(r["First"], r["Last"]) for r in rows if r["K"] == "excluded"] == [(5357, 5357), (50000, 50059)]
    assert [(r["First"], r["Last"]) for r in rows if r["K"] == "dynamic"] == [(49152, 65535)]
    assert [r["Milliseconds"] for r in rows if r["K"] == "keepalive"] == [300000]
    assert [(r["ListenPort"], r["ConnectPort"]) for r in rows if r["K"] == "portproxy"] == [(1521, 1522), (80, 8080)]


def test_events_keep_their_fraction_and_their_text(loops):
    answer = loops("many").answer("events", ASKED["events"])
    found = windows_parse.events(answer.rows)
    assert [x.at for x in found] == [1795169472.345, 1795169472.345, 1795169473.345, 1795169473.345]
    assert "\U0001f4a5" in found[0].text and QUOTES in found[0].text and found[2].text == "a 5"


def test_entries_of_a_source_that_xpath_cannot_name_are_found_all_the_same(loops):
    asked = {**MOMENTS, "Logs": ["System"]}
    assert loops("many").answer("events", {**asked, "Source": 'o\'neil "x"'}).rows == (), "those of the stand-in are LifeKeeper's"
    assert len(loops("many").answer("events", asked).rows) == 2


def test_a_log_that_cannot_be_read_is_a_warning_beside_another_and_else_the_error(loops):
    both = loops("many").answer("events", {**MOMENTS, "Logs": ["System", "Security"]})
    assert both.ok and both.rows and any("Security" in one for one in both.warnings)
    alone = loops("many").answer("events", {**MOMENTS, "Logs": ["Security"]})
    assert not alone.ok and alone.error.startswith("LogInfoUnavailable")


def test_a_boot_is_its_first_process_where_the_kernel_s_count_is_not_to_be_had(loops):
    """As here; neither the event log nor the clock has a part in it."""
    assert windows_parse.about(loops("many").answer("host", {"Boot": True}).rows).boot == "wininit 512 of 2026-11-20T08:00:01.5000000Z"
    assert windows_parse.about(loops("none").answer("host", {"Boot": True}).rows).boot == ""
    assert windows_parse.about(loops("error").answer("host", {}).rows).boot == ""


def test_processes_and_services(loops):
    loop = loops("many")
    assert windows_parse.process_start(loop.answer("process", {"Id": loop.process.pid}).rows) > 1.7e9
    assert windows_parse.process_start(loop.answer("process", {"Id": 999999999}).rows) is None
    found = windows_parse.services(loop.answer("service", {"Name": "lifekeeper", "Prefix": True, "Detail": True}).rows)
    assert [(x.name, x.process, x.account) for x in found[:1]] == [("LifeKeeper", 4242, "LocalSystem")] and len(found) == 2
    assert [x.state for x in windows_parse.services(loop.answer("service", {"Name": QUOTES}).rows)] == ["Stopped"]
    assert loop.answer("service", {"Name": "no such service"}).rows == ()


def test_what_depends_on_a_service_is_told_before_it_is_stopped(loops):
    """A stop takes it along, and nothing starts it again: what nobody has named is not stopped."""
    (row,) = loops("warning").answer("service", {"Name": "LifeKeeper"}).rows
    assert row["Dependents"] == ["LKExt"]
    answer = loops("warning").answer("service-change", {"Name": "LifeKeeper", "Action": "stop"})
    assert not answer.ok and "nothing was stopped: LKExt runs and depends on it" in answer.message
    assert loops("warning").answer("service-change", {"Name": "LifeKeeper", "Action": "stop", "Along": ["LKExt"]}).ok


@pytest.mark.parametrize("name", ["r*", "rol?", "[r]ole", "no such role"])
def test_a_name_is_no_pattern(loops, name):
    """Roles and resources may have brackets, stars and question marks in their names."""
    answer = loops("many").answer("wsfc-change", {"Action": "move", "Name": name, "Node": "LKNODE02"})
    assert answer.error == "Missing" and answer.missing == (f"there is no role {name}",)
    assert loops("many").answer("wsfc-change", {"Action": "stop", "Name": QUOTES}).ok


def test_an_address_that_cannot_be_read_is_an_error_and_one_that_is_not_there_is_none(environment):
    loop = Loop(environment("many", LK_PARAMETERS="error"))
    assert loop.line().ready
    assert loop.answer("wsfc-state", {"Resource": "ip"}).error.startswith("Get-ClusterParameter")
    assert loop.answer("wsfc-state", {"Resource": QUOTES}).ok
    assert loop.end() == 0


def test_lifekeeper_s_streams_are_apart_and_its_words_arrive(loops):
    """A backslash, a quote, an empty word: as the command's own runtime reads them."""
    (row,) = loops("many").answer("lifekeeper-command", ASKED["lifekeeper-command"]).rows
    assert row["Text"] == 'args: [-q] [] [say "x\\"] [it\'s] [a b\\]\n' and row["Errors"] == "warning on the other stream\n"
    assert row["Exit"] == 7 and row["Service"]
    (row,) = loops("none").answer("lifekeeper-command", {"Command": "lcdstatus"}).rows
    assert (row["Errors"], row["Service"]) == ("", None)
    (row,) = loops("many").answer("lifekeeper-command", {"Command": "flg_list", "Words": ["-d", "x"]}).rows
    assert row["Text"] == "args: [flg_list] [-d] [x]\n", "a script is run by LifeKeeper's own Perl"


@pytest.mark.parametrize(
    ("parameters", "why"),
    [
        ({"Command": "ins_list", "Words": []}, "there is no ins_list in "),
        ({"Command": "lcdstatus", "Root": "Z:\\not there"}, "LifeKeeper is not installed there: there is no folder Z:\\not there"),
    ],
)
def test_what_is_not_installed_is_said_with_its_path(loops, parameters, why):
    answer = loops("many").answer("lifekeeper-command", parameters)
    assert answer.error == "Missing" and answer.missing[0].startswith(why)


def test_versions_are_those_of_the_kernel_and_of_the_cluster_s_products(loops):
    rows = {row["Name"]: row["Version"] for row in loops("many").answer("versions", {}).rows}
    assert set(rows) == {"kernel", "LifeKeeper for Windows", "DataKeeper v8"} and rows["DataKeeper v8"] == "8.10.1"
    assert set(row["Name"] for row in loops("none").answer("versions", {}).rows) == {"kernel"}


def test_settings_are_read(loops):
    assert loops("many").answer("lifekeeper-settings", {}).rows[0]["Text"] == "LCDSYNC=1\nNAME=l\u00e4uft\n"


def test_the_cluster_for_a_role_and_for_a_resource(loops):
    loop = loops("many")
    role = loop.answer("wsfc-state", {"Group": "role"}).rows
    owners = {row["Name"]: row["Nodes"] for row in role if row["K"] == "owners"}
    assert owners == {"ip": ["LKNODE01", "LKNODE02"], QUOTES: ["LKNODE01", "LKNODE02"]}
    periods = {row["Name"]: row["Period"] for row in role if row["K"] == "group"}
    assert periods == {"role": 6, QUOTES: None}
    (quorum,) = [row for row in role if row["K"] == "quorum"]
    assert (quorum["Witness"], quorum["WitnessVote"], quorum["Dynamic"], quorum["Fixed"]) == ("Cloud Witness", 1, 1, 0)
    assert quorum["Quarantine"] == 3
    one = loops("one").answer("wsfc-state", {"Group": "role"}).rows
    assert [row["Witness"] for row in one if row["K"] == "quorum"] == [None]
    resource = loop.answer("wsfc-state", {"Resource": "ip"}).rows
    assert {row["Name"]: row["On"] for row in resource if row["K"] == "dependency"} == {"ip": None, QUOTES: "([ip])"}
    (address,) = [row for row in resource if row["K"] == "address"]
    assert (address["Address"], address["Mask"], address["ProbePort"]) == ("10.20.1.200", "255.255.255.255", 59999)
    state = loop.answer("wsfc-state", {}).rows
    assert {row["Network"] for row in state if row["K"] == "nic"} == {"Cluster Network 1"}, "the name and not the object's text (WCLU-53)"


@pytest.mark.parametrize("word", ["2026-11-22T10:00:00Z", "/Date(1)/", "true", "$(1)", "", QUOTES])
def test_a_parameter_arrives_as_it_was_sent(loops, word):
    """WHST-37: a text that looks like a moment stays a text."""
    (row,) = loops("many").answer("wsfc-change", {"Action": "start", "Name": "ip", "Node": word}).rows
    assert row["Node"] == word


def test_an_answer_in_a_script_of_its_own_is_as_quick(environment, tmp_path):
    """Events of a Russian or Japanese host are hundreds of thousands of characters that are not ASCII."""
    file = tmp_path / "etc" / "default" / "LifeKeeper"
    file.parent.mkdir(parents=True)
    text = "".join(chr(0x430 + number % 32) for number in range(200_000)) + "\U0001f600\x7f\u2028"
    file.write_text(text, encoding="utf-8")
    loop = Loop(environment("many", LKROOT=str(tmp_path)))
    assert loop.line().ready
    answer = loop.answer("lifekeeper-settings", {}, limit=10.0)
    assert answer.ok and answer.rows[0]["Text"] == text, as_json(answer)[:200]
    assert loop.end() == 0

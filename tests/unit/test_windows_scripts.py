"""Every Windows script is PowerShell that 5.1 and 7 both know, has help and strict mode, and takes what its contract says."""

from __future__ import annotations

import ast
import base64
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from powershell_syntax import Declared, declared, faults

from harness.collect.collection_runner import lines_of, window_parameters
from harness.collect.collectors import table
from harness.core.errors import BadUse
from harness.hosts.windows import powershell, script_protocol
from harness.hosts.windows.script_contract import ENGINE, SCRIPTS, contract_of, contracts, misfit, refusal
from harness.remote.agents import powershell_agent
from harness.remote.csharp import csharp_program

REPOSITORY = Path(__file__).parents[2]
TYPES = {"text": "string", "texts": "string[]", "number": "int", "flag": "switch"}
SCRIPT_FILES = sorted(SCRIPTS.rglob("*.ps1"))
AGENTS = REPOSITORY / "harness/remote/agents/powershell"
FILES = sorted([*SCRIPT_FILES, *ENGINE.glob("*.ps1"), *AGENTS.glob("*.ps1"), *csharp_program.FOLDER.glob("*.ps1")])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_is_powershell_of_5_1(path):
    text = path.read_text(encoding="utf-8")
    assert faults(text) == []
    assert text.isascii(), "5.1 reads a file without a mark in the code page of the host"


def test_the_stand_ins_for_cmdlets_are_powershell():
    """Where there is no PowerShell to load them."""
    for path in (REPOSITORY / "tests/powershell/modules").rglob("*.ps*1"):
        assert faults(path.read_text(encoding="utf-8")) == [], path


def test_the_stand_ins_manifest_and_module_export_the_same():
    """A command that the manifest leaves out is not found by its name."""
    folder = REPOSITORY / "tests/powershell/modules/StandIns"
    manifest, module = ((folder / f"StandIns.{kind}").read_text(encoding="utf-8") for kind in ("psd1", "psm1"))
    of_manifest = re.findall(r"'([A-Z]\w+-\w+)'", manifest.split("FunctionsToExport", 1)[1])
    assert sorted(of_manifest) == sorted(re.findall(r"'([A-Z]\w+-\w+)'", module.split("Export-ModuleMember", 1)[1]))


def test_what_the_tests_on_powershell_import_is_pure():
    """They run where nothing of the product's dependencies is installed."""
    code = (
        "import sys; sys.path.insert(0, '.'); from harness.hosts.windows import powershell, script_contract, script_protocol, windows_parse"
    )
    done = subprocess.run([sys.executable, "-IS", "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "line",
    [
        "$a = $true ? 1 : 2",
        "$a = $b ?? 1",
        "$a ??= 1",
        "$c = ${a}?.Length",
        "$c = ${a}?[0]",
        "Get-Process && Get-Service",
        "Get-Process || Get-Service",
        "ConvertTo-Json -InputObject $a -AsArray",
        "ConvertTo-Json $a -EnumsAsStrings",
        "1 | ForEach-Object -Parallel { $_ }",
        "$PSStyle.OutputRendering = 'PlainText'",
        "if ($IsWindows) { 1 }",
        "Set-Content -Path x -Encoding utf8NoBOM",
        '$a = "`u{1f4a5}"',
        "$a = 0b101",
        "$a = 10u",
        "$a = 0x1Ful",
        "Start-Sleep -Seconds 5 &",
        "function f { process { 1 } \nclean { 2 } }",
        "Get-Content -LiteralPath x -AsByteStream",
        "ConvertFrom-Json -InputObject $a -NoEnumerate",
        "Join-Path -Path a -ChildPath b -AdditionalChildPath c",
        "Split-Path -LeafBase x",
        "Get-Process | | Sort-Object",
        "function f { param($a $b) }",
    ],
)
def test_what_5_1_does_not_have_is_found(line):
    assert faults(f"$x = 1\n{line}\n")


def test_what_5_1_has_is_not_taken_for_that():
    assert faults("$a = 'x ?? y'\n# a ? b : c\nGet-Process | ? { $_.Id -gt 1 }\n$b = \"1 && 2\"\n$c = @{ x = 1 }['x']\n") == []
    assert faults("$a = 10kb + 255\n& $b\n$c = '0b1 10u &'\nWrite-Output -NoEnumerate 1\n$x1u = 2\n$d = 1..5\n") == []


@pytest.mark.parametrize("name", sorted(contracts()))
def test_its_param_block_is_its_contract(name):
    text = contract_of(name).text
    wanted = [Declared(p.name, TYPES[p.type], p.required, list(p.choices)) for p in contract_of(name).parameters.values()]
    assert declared(text) == wanted


def test_a_script_that_takes_something_else_is_found():
    text = contract_of("service").text
    assert declared(text.replace("[string]$Name", "[int]$Name")) != declared(text)
    assert declared(text.replace("[Parameter(Mandatory = $true)]", "")) != declared(text)
    assert declared("Get-Process\n") is None


@pytest.mark.parametrize("path", SCRIPT_FILES, ids=lambda path: path.stem)
def test_it_is_framed_as_all_are(path):
    """Help, strict mode, no exit, and one answer."""
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<#\n.SYNOPSIS\n") and path.stem in contracts()
    for name in contract_of(path.stem).parameters:
        assert f".PARAMETER {name}\n" in text
    assert "\nSet-StrictMode -Version Latest\n" in text
    assert text.count("\nInvoke-Answer {\n") == 1 and text.endswith("\n}\n")
    assert not re.search(r"\bexit\b|\bWrite-Host\b|\bInvoke-Expression\b", text.split("#>", 1)[1])


@pytest.mark.parametrize("path", SCRIPT_FILES, ids=lambda path: path.stem)
def test_every_cmdlet_of_windows_is_told_to_stop_at_an_error(path):
    """Cmdlets that are functions of modules do not see the caller's preference (WNET-40)."""
    for line in path.read_text(encoding="utf-8").split("#>", 1)[1].splitlines():
        code = re.sub(r"'[^']*'", "''", line.split(" # ")[0])
        for call in re.findall(r"\b(?:Get|Find|Start|Stop|Move)-(?:Net|Cluster|Win|Cim|Service|Process)[\w]*[^|;}]*", code):
            assert "-ErrorAction" in call, call


def test_what_changes_something_is_ended_by_no_question_s_limit():
    """A native program ends with its question; so one that changes something is not run by a question, but by a job."""
    changing = [one for one in contracts().values() if one.changes]
    assert changing and [one.name for one in changing if "Invoke-Native" in one.text] == []
    asks = contract_of("lifekeeper-command").parameters["Command"].choices
    assert asks and not contract_of("lifekeeper-command").changes
    assert set(asks) & set(contract_of("lifekeeper-program").parameters["Command"].choices) == set()


@pytest.mark.parametrize("name", sorted(contracts()))
def test_no_parameter_is_written_over(name):
    """PowerShell's variables know no case: `$guard` is `$Guard`."""
    code = contract_of(name).text.split("Invoke-Answer {", 1)[1]
    written = re.findall(r"\$(\w+)\s*[+-]?=[^=]", code) + re.findall(r"foreach \(\$(\w+) ", code)
    assert {one.lower() for one in written} & {one.lower() for one in contract_of(name).parameters} == set()


CALL = r"\b(?:Get|Find|Start|Stop|Move|Suspend|Resume)-(?:Net|Cluster|Win|Cim|Service|Process)[\w]*[^|;)}\n]*"


def calls(path: Path) -> list[str]:
    """Every call of a cmdlet of Windows, up to the end of its statement."""
    return re.findall(CALL, path.read_text(encoding="utf-8").split("#>", 1)[-1])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_error_is_kept_silent(path):
    """Where none is to end the script, it is at least kept in a variable that somebody looks at."""
    assert [call for call in calls(path) if "SilentlyContinue" in call and "-ErrorVariable" not in call] == []
    assert [call for call in calls(path) if re.search(r"-(?:ErrorAction|EA) +Ignore", call)] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_name_is_taken_for_a_pattern(path):
    """`-Name` of cmdlets for clusters, services and processes takes wildcards: names with brackets or stars would mean others."""
    pattern = r"^\w+-(?:Cluster|Service|Process)\w* .*-(?:Name|Resource|Group|DisplayName|Include)\b"
    assert [call for call in calls(path) if re.search(pattern, call)] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_another_service_that_tells_nothing_ends_no_question(path):
    """Get-Service without a name asks all, and fails for one that it may not see."""
    assert [call for call in calls(path) if re.search(r"^Get-Service\b", call) and "-ErrorVariable" not in call] == []


def test_no_script_is_forgotten():
    assert sorted(path for path in SCRIPT_FILES) == sorted(one.path for one in contracts().values())


def test_the_bootstrap_fits_into_a_command_line():
    line, data = powershell.invocation(powershell.Complete(script_protocol.bootstrap()), b"x")
    assert len(line) <= powershell.MAX_LINE and data == b"x"


def test_what_takes_an_agent_from_its_input_fits_into_a_command_line():
    """Its input is the agent's, so it has no other way."""
    for text in (powershell_agent.loader(), csharp_program.loader()):
        line, data = powershell.invocation(text, streams=True)
        assert len(line) <= powershell.MAX_LINE and data is None


def test_what_a_job_runs_fits_into_the_command_line_of_a_new_process():
    """CreateProcess takes 32767 characters (WHST-24), and no shell is between."""
    text = (ENGINE / "job.ps1").read_text(encoding="utf-8")
    assert len(base64.b64encode(text.encode("utf-16-le"))) < 30_000


def test_what_is_collected_of_windows_hosts_is_asked_by_scripts():
    """Also of a plug-in's rows: a line of shell for Windows would be a script that no parser looked at."""
    rows = [row for row in table() if row.platform == "windows"]
    assert rows and all(row.script and not row.line for row in rows)
    assert [why for row in rows if (why := refusal(row.script, window_parameters(row, 1795169472.0, 1795169532.5)))] == []
    (events,) = [row for row in rows if row.logs]
    window = window_parameters(events, 1795169472.0, 1795169532.5)
    assert (window["Begin"], window["End"]) == ("2026-11-20T10:11:12.000000Z", "2026-11-20T10:12:12.500000Z")
    assert not [row.name for row in rows if re.search("CommandLine|EnvironmentVariables|StartInfo", contract_of(row.script).text)]


def test_a_script_s_rows_are_collected_as_lines():
    answer = script_protocol.ScriptAnswer(True, warnings=("l\u00e4uft",), rows=({"Name": "a\nb"}, {"Name": "\u00fc"}))
    assert lines_of(answer) == '{"Name": "a\\nb"}\n{"Name": "\u00fc"}\n# warning: l\u00e4uft\n'


def test_a_question_has_no_way_out_of_its_line():
    """Whatever a parameter holds, what is sent is one line of ASCII, and the other end reads the same again."""
    nasty = {"Name": 'it\'s "x" \u2018y\u2019 \r\n$(Stop-Computer) 2026-11-22T10:00:00Z', "Prefix": True}
    line = script_protocol.question(7, "service", nasty, 1.5)
    assert line.count(b"\n") == 1 and line.isascii()
    assert script_protocol.parse_question(line) == ("service", nasty)
    assert json.loads(line)["parameters"]["Name"].startswith("=it's"), "nothing takes it for a moment (WHST-37)"


@pytest.mark.parametrize(
    ("name", "parameters", "why"),
    [
        ("service", {}, "needs Name"),
        ("service", {"Name": ""}, "needs Name"),
        ("service", {"Name": 3}, "Name is a text, not 3"),
        ("service", {"Name": "x", "Nmae": "y"}, "has no parameter Nmae"),
        ("service-change", {"Name": "x", "Action": "restart"}, "one of start, stop"),
        ("process", {"Id": True}, "Id is a number, not True"),
        ("events", {"Begin": "a", "End": "b", "Logs": "System"}, "Logs is a texts"),
        ("process", {"Id": 0}, ""),
    ],
)
def test_what_does_not_fit_is_refused_before_it_is_sent(name, parameters, why):
    assert (why in refusal(name, parameters)) if why else refusal(name, parameters) == ""
    with pytest.raises(BadUse, match="there is no Windows script"):
        refusal("no-such-script", {})


def test_a_row_is_held_against_its_contract():
    contract = contract_of("wsfc-state")
    row = {"K": "network", "Name": "n", "Role": None}
    assert misfit(contract, row) == ""
    for spoilt in (row | {"K": "x"}, row | {"Name": None}, row | {"Name": 1}, row | {"More": 1}, {"K": "network", "Name": "n"}, {}):
        assert misfit(contract, spoilt)


@pytest.mark.parametrize("path", sorted((REPOSITORY / "tests/e2e/shapes").rglob("*.json")), ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_what_is_recorded_fits_its_contract(path):
    recorded = json.loads(path.read_text(encoding="utf-8"))
    laters = [json.loads(p.read_text(encoding="utf-8")) for p in path.parent.glob(f"{path.stem}-*.later")]
    assert refusal(recorded["script"], recorded["parameters"]) == ""
    contract = contract_of(recorded["script"])
    for answer in (recorded["answer"], *laters):
        read = script_protocol.read_answer(json.dumps(answer))
        assert [misfit(contract, row) for row in read.rows if misfit(contract, row)] == []
        assert not read.ok or script_protocol.demand_row(contract, read)


# The frame of commands that are no scripts.
ALLOWED = {"harness/hosts/windows/powershell.py"}
SCRIPT = r"\|\s*%\{|@\(Get-|\$_\.|;\$\w+=|\[Console\]::|\|\s*(?:ft|fl|select)\b.*-\w|New-Object |\bGet-(?:Net|Cim|Process|ItemProperty)\w*"


def strings(path: Path) -> Iterator[ast.Constant]:
    """Every string of a module but its descriptions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    described = {id(node.body[0].value) for node in ast.walk(tree) if isinstance(node, DESCRIBED) and described_by(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in described:
            yield node


DESCRIBED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def described_by(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return bool(node.body) and isinstance(node.body[0], ast.Expr) and isinstance(node.body[0].value, ast.Constant)


def test_no_script_lives_in_a_python_string():
    """A cmdlet of Windows in a string of a module is a script that no parser looked at."""
    found = []
    for folder in ("hosts", "managers", "collect", "remote", "check", "attach", "disrupt", "measure", "cluster", "services"):
        for path in (REPOSITORY / "harness" / folder).rglob("*.py"):
            if str(path.relative_to(REPOSITORY)) in ALLOWED or not re.search(SCRIPT, path.read_text(encoding="utf-8")):
                continue
            found += [f"{path}:{node.lineno}: {node.value}" for node in strings(path) if re.search(SCRIPT, node.value)]
    assert found == []


def test_what_tells_a_boot_is_moved_by_no_clock_and_no_log():
    """Neither a record of the event log, which wraps, nor a moment, which moves when the clock is set, is part of a boot's identity."""
    text = contract_of("host").text
    told = [line for line in text.splitlines() if "$row['BootId'] =" in line]
    assert told and not [line for line in told if "RecordId" in line or "LastBootUpTime" in line]
    assert "Get-WinEvent" not in text

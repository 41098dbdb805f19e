"""LifeKeeper for Windows, through PowerShell (facts, cluster managers, section 3). Shape only: never run on the product."""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from harness.core.deadline import Deadline
from harness.hosts.host import NotReadable
from harness.hosts.windows.powershell import quoted
from harness.hosts.windows.windows_parse import rows
from harness.managers.manager import Answer, ClusterState, NodeState, Question, SwitchRefused
from harness.managers.parse.lcdstatus_parse import parse
from harness.managers.rules.lifekeeper_switchover_rules import by_flags, by_settings
from harness.managers.switchover_readiness import Told, by_state, last_words
from harness.managers.windows_base import NOT_ASKED, NOT_THERE, OnWindows

DEFAULT_ROOT = r"C:\LK"  # LKW-01
# A command is a program of its own or a script for LifeKeeper's own Perl (LKW-02); its output comes back as JSON, whatever its code page.
PLACE = """$r=ROOT;if(!$r){$r=$env:LKROOT};if(!$r){$r='C:\\LK'}
$b=Join-Path $r 'Bin';if(!(Test-Path $b)){exit 44}
"""
COMMAND = (
    PLACE
    + """$n=NAME;$a=@(ARGS);$x=Join-Path $b "$n.exe"
if(!(Test-Path $x)){if(!(Test-Path (Join-Path $b $n))){exit 44}
$a=@($n)+$a;$x=Join-Path $r 'perl\\bin\\perl.exe'
if(!(Test-Path $x)){$x=@(Get-ChildItem (Join-Path $r 'perl') -Recurse -Filter perl.exe|%{$_.FullName})[0]};if(!$x){exit 44}}
Set-Location $b;$ErrorActionPreference='Continue'
$o=@(& $x @a 2>&1|%{"$_"})
J @{Text=($o -join "`n");Exit=$LASTEXITCODE;Service="$((Get-Service|?{$_.Name -eq 'LifeKeeper'}).Status)"};exit 0"""
)
SETTINGS = (
    PLACE
    + """$f=Join-Path $r 'etc\\default\\LifeKeeper';$t=if(Test-Path $f){[IO.File]::ReadAllText($f)}else{''}
J @{Text=$t;Exit=0;Service=''}"""
)
DOTTED = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])", re.ASCII)


def said(text: str) -> tuple[str, int, str]:
    """Text, exit and the service's state out of what COMMAND printed. Raises NotReadable."""
    row = rows(text)[-1:]
    if not row or not isinstance(row[0].get("Text"), str):
        raise NotReadable(f"the answer holds no text; it said: {last_words(text)}")
    code = row[0].get("Exit")
    return row[0]["Text"], code if isinstance(code, int) else -1, str(row[0].get("Service") or "")


def state_of(node: str, printed: str) -> NodeState:
    """What `lcdstatus -q` and the service's state say of `node`. No text makes it raise."""
    try:
        text, _, service = said(printed)
    except NotReadable as error:
        return NodeState(node, False, {}, (), str(error))
    if service not in ("", "Running"):
        return NodeState(node, False, {}, (), f"the service LifeKeeper is {service}", stopped=service == "Stopped")
    return parse(node, text)


def address_in(row: str) -> str | None:
    """The address in an IP resource's row of `ins_list`: its id is the address; else the one in its info that is no netmask (LKW-06)."""
    fields = row.strip("\r\n").split("\x01")
    if len(fields) > 5:
        found = [x for field in (fields[4], fields[5]) for x in DOTTED.findall(field) if not x.startswith("255.")]
        return found[0] if found else None
    return None


class LifeKeeperWindows(OnWindows):
    """Reads each node over its own connection; drives from the node that is to act."""

    name = "LifeKeeper for Windows"
    source = "LifeKeeper"  # LKW-15
    out_settings = None

    def state(self, *, limit: float = 20.0) -> ClusterState:
        return ClusterState(self._each(lambda node: self._node_state(node, limit)))

    def _node_state(self, node: str, limit: float) -> NodeState:
        try:
            done = self._hosts[node].run(self._script("lcdstatus", ["-q"]), limit=limit)
        except NOT_ASKED as error:
            return NodeState(node, False, {}, (), str(error))
        if done.exit == NOT_THERE:
            return NodeState(node, False, {}, (), f"there is no lcdstatus in LifeKeeper's Bin on {node}; is LifeKeeper installed there?")
        if not done.ok:
            return NodeState(node, False, {}, (), f"lcdstatus could not be run there (exit {done.exit}): {last_words(done.err, done.out)}")
        return state_of(node, done.out)

    def may_switch_over(self, to: str, question: Question = Question.TOLD, *, limit: float = 20.0) -> Answer:
        """From both nodes' states, flags and settings, asked at once. The safety check (LKW-10) needs all paths dead, and then the answer
        is no."""
        deadline, manager = Deadline(limit), self._cluster.manager
        with ThreadPoolExecutor(max_workers=3) as pool:
            state = pool.submit(self.state, limit=limit)
            flags = pool.submit(self._each, lambda node: self._ask(node, self._script("flg_list", []), deadline))
            settings = pool.submit(self._each, lambda node: self._ask(node, SETTINGS.replace("ROOT", self._root, 1), deadline))
        case = by_state(to, state.result(), question).add(by_flags(to, flags.result(), question, manager.harmless_flags))
        return case.add(by_settings(settings.result(), question, manager.quorum)).answer

    def _ask(self, node: str, script: str, deadline: Deadline) -> Told:
        try:
            done = self._hosts[node].run(script, limit=max(0.1, deadline.remaining()))
            text, code, _ = said(done.out) if done.ok else ("", done.exit, "")
        except NOT_ASKED as error:
            return Told(None, str(error))
        if done.exit == NOT_THERE:
            return Told(None, "that command is not in LifeKeeper's Bin")
        return Told(text) if done.ok and code == 0 else Told(None, f"exit {code}: {last_words(done.err, text, done.out)}")

    def switch_over(self, to: str, *, deadline: Deadline) -> None:
        self._act(to, self._cluster.manager.resource, "restore", [], deadline)

    def switch_over_lines(self, to: str) -> list[str]:
        return [f"perform_action -t {self._cluster.manager.resource} -a restore"]

    def take_out_lines(self, tag: str, node: str) -> list[str]:
        return [f"perform_action -s -t {tag} -a remove"]

    def stays_in(self, tag: str, node: str, *, limit: float = 20.0) -> str:
        return ""  # `-s` limits it to the tag (LKL-28)

    def take_out(self, tag: str, node: str, *, deadline: Deadline) -> None:
        self._act(node, tag, "remove", ["-s"], deadline)

    def put_back(self, tag: str, node: str, *, deadline: Deadline) -> None:
        self._act(node, tag, "restore", ["-s"], deadline)

    def clear_failure(self, tag: str, node: str, *, deadline: Deadline) -> None:
        """By taking it out once more; what clears OSF besides a good restore is not known (facts, section 9)."""
        self._act(node, tag, "remove", ["-s"], deadline)

    def _act(self, node: str, tag: str, action: str, options: list[str], deadline: Deadline) -> None:
        """perform_action (LKW-05); what its exit code means is not known, so the state afterwards is what counts."""
        words = [*options, "-t", tag, "-a", action]
        done = self._hosts[node].run(self._script("perform_action", words), limit=deadline.remaining())
        seen = self._node_state(node, max(1.0, deadline.within(20.0))).resources.get(tag)
        if seen is None or seen.active is not (action == "restore"):
            heard = last_words(_text(done.out), done.err)
            raise SwitchRefused(f"{node}: `perform_action {' '.join(words)}` left {tag} {seen or 'unknown'}; it said: {heard}")

    def address_of(self, tag: str, node: str) -> str | None:
        return address_in(_text(self._hosts[node].run(self._script("ins_list", ["-t", tag]), limit=20.0).out))

    def in_service_test(self, tag: str) -> str:
        """By `ins_list`, whose seventh field is the state (LKL-19)."""
        call = self._script("ins_list", ["-t", tag]).rsplit("\nJ ", 1)[0]
        return f"{call}\nif((@($o)[0] -split [char]1)[6] -match '^IS[PU]$'){{exit 0}};exit 1"

    def put_back_line(self, tag: str) -> str:
        return self._script("perform_action", ["-s", "-t", tag, "-a", "restore"])

    def daemon_pids_line(self) -> str:
        """The processes of its services (LKW-01)."""
        return "Get-CimInstance Win32_Service|?{$_.Name -like 'LifeKeeper*' -and $_.ProcessId}|%{\"$($_.ProcessId)\"}"

    @property
    def _root(self) -> str:
        """What the cluster file says; else the host's own %LKROOT%, else the default."""
        manager = self._cluster.manager
        return quoted(str(manager.root)) if "root" in manager.model_fields_set else "$null"

    def _script(self, name: str, words: Sequence[str]) -> str:
        args = ",".join(map(quoted, words))
        return COMMAND.replace("ROOT", self._root, 1).replace("NAME", quoted(name), 1).replace("ARGS", args, 1)


def _text(printed: str) -> str:
    try:
        return said(printed)[0]
    except NotReadable:
        return printed

"""PowerShell itself, where there is one: needs pytest and `pwsh` on PATH, and of the product only what is pure of harness.hosts.windows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from powershell_process import JOB, PWSH, Loop

HERE = Path(__file__).parent
TOOLS = {
    "netsh": """#!/bin/sh
case "$LK_SCENE" in error) exit 1;; slow) exec sleep 300;; esac
printf '\\nPortausschlussbereiche f\\303\\274r Protokoll TCP\\n\\nStartport    Endport\\n----------    --------\\n'
[ "$LK_SCENE" = none ] || printf '      5357        5357\\n     50000       50059     *\\n'
printf '\\n* - Verwaltet\\n'
""",
    "reg": """#!/bin/sh
[ "$LK_SCENE" != slow ] || exec sleep 300
# Of these keys it is asked whether they can be read at all: LK_REG=refused says no; LK_RULES and LK_VALUE are what is in them.
case "$2" in
  *FirewallRules)
    [ "$LK_REG" != refused ] || exit 1
    printf 'HKEY_LOCAL_MACHINE\\\\FirewallRules\\r\\n    CoreNet-In    REG_SZ    v2.30|Action=Allow|\\r\\n'
    for rule in $LK_RULES; do printf '    %s    REG_SZ    v2.30|Action=Block|Name=x|\\r\\n' "$rule"; done
    exit 0;;
  *CurrentControlSet*Services*LifeKeeper)
    [ "$LK_REG" != refused ] || exit 1
    printf 'HKEY_LOCAL_MACHINE\\\\LifeKeeper\\r\\n    Start    REG_DWORD    0x2\\r\\n'
    printf '    FailureActionsOnNonCrashFailures    REG_DWORD    0x1\\r\\n'
    [ -z "$LK_VALUE" ] || printf '    FailureActions    %s\\r\\n' "$LK_VALUE"
    printf '\\r\\nHKEY_LOCAL_MACHINE\\\\LifeKeeper\\\\Parameters\\r\\n'
    exit 0;;
esac
case "$LK_SCENE" in none|error) exit 1;; slow) exec sleep 300;; esac
case "$*" in
  *KeepAliveTime) printf 'HKEY\\r\\n    KeepAliveTime    REG_DWORD    0x493e0\\r\\n';;
  *Uninstall*)
    printf 'HKEY_LOCAL\\\\a\\r\\n    DisplayName    REG_SZ    LifeKeeper for Windows\\r\\n    DisplayVersion    REG_SZ    8.10\\r\\n'
    printf 'HKEY_LOCAL_MACHINE\\\\b\\r\\n    DisplayVersion    REG_SZ    1\\r\\n    DisplayName    REG_SZ    Something\\r\\n'
    printf 'HKEY_LOCAL_MACHINE\\\\c\\r\\n    DisplayVersion    REG_SZ    8.10.1\\r\\n    DisplayName    REG_SZ    DataKeeper v8\\r\\n';;
  *v4tov4*) printf 'HKEY\\r\\n    0.0.0.0/1521    REG_SZ    10.20.1.200/1522\\r\\n    */80    REG_SZ    x/8080\\r\\n';;
  *) exit 1;;
esac
""",
}
TOOLS["w32tm"] = """#!/bin/sh
case "$LK_SCENE" in none|error) exit 1;; slow) exec sleep 300;; esac
printf 'Sprungindikator: 0\\r\\nQuelle: VM IC Time Synchronization Provider\\r\\n'
"""
LIFEKEEPER = """#!/bin/sh
case "$LK_SCENE" in slow) exec sleep 300;; esac
printf 'args:'; for word in "$@"; do printf ' [%s]' "$word"; done; printf '\\n'
[ "$LK_SCENE" = none ] || echo "warning on the other stream" >&2
cat
exit 7
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents and PWSH is None:
            item.add_marker(pytest.mark.skip(reason="needs PowerShell 7 (`pwsh` on PATH)"))


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, str]]:
    """The environment of a process: the stand-ins, and what `scene` they play."""
    folder = tmp_path_factory.mktemp("windows")
    for name, text in TOOLS.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    root = folder / "LK of o'neil"
    (root / "Bin").mkdir(parents=True)
    for name in ("lcdstatus.exe", "perform_action.exe"):
        (root / "Bin" / name).write_text(LIFEKEEPER)
        (root / "Bin" / name).chmod(0o755)
    (root / "Bin" / "flg_list").write_text("# for LifeKeeper's own Perl\n")
    perl = root / "perl" / "5.8" / "perl.exe"
    perl.parent.mkdir(parents=True)
    perl.write_text(LIFEKEEPER)
    perl.chmod(0o755)
    (root / "etc" / "default").mkdir(parents=True)
    (root / "etc" / "default" / "LifeKeeper").write_text("LCDSYNC=1\nNAME=l\u00e4uft\n", encoding="utf-8")

    def made(scene: str = "many", **more: str) -> dict[str, str]:
        own = folder / f"profile-{scene}"
        own.mkdir(exist_ok=True)
        given = {
            "XDG_DATA_HOME": str(own),
            "PSModulePath": str(HERE / "modules"), "PATH": f"{folder}:{os.environ['PATH']}", "LK_SCENE": scene, "LKROOT": str(root),
            "POWERSHELL_TELEMETRY_OPTOUT": "1", "POWERSHELL_UPDATECHECK": "Off",
        }  # fmt: skip
        return {**os.environ, **given, **more}

    return made


@pytest.fixture(scope="session")
def loops(environment: Callable[..., dict[str, str]]) -> Iterator[Callable[[str], Loop]]:
    """One process for each scene."""
    made: dict[str, Loop] = {}

    def of(scene: str) -> Loop:
        if scene not in made or made[scene].process.poll() is not None:  # it ends by itself when nobody has asked it for a while
            made[scene] = Loop(environment(scene))
            assert made[scene].line().ready
        return made[scene]

    yield of
    for scene in list(made):
        of(scene).answer("job-remove", {"Name": JOB})  # what runs it waits ten minutes for somebody who collects it
        made[scene].end()

"""The diagnosis of Pacemaker's own folders that its account cannot use."""

from __future__ import annotations

from dataclasses import replace

import pytest
from diagnosis_sample import both, faults

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.linux_host_script_parse import host

CIB, INPUTS = "/var/lib/pacemaker/cib", "/var/lib/pacemaker/pengine"
GOOD = "".join(f"750 / {folder} directory\n~owner 189 hacluster haclient {folder}\n" for folder in (CIB, INPUTS)) + "# asked\n"


def told(standby: str, active: str = GOOD, kind: str = "pacemaker") -> list[Cause]:
    seen = [host("it", f"@@ files\n{text}").files for text in (active, standby)]
    it = both(files=(seen[0], seen[1]))
    cluster = it.cluster.model_copy(update={"manager": it.cluster.manager.model_copy(update={"kind": kind})})
    return [c for c in diagnose(replace(it, cluster=cluster)).causes if "/var/lib/pacemaker" in c.says]


@pytest.mark.parametrize(
    ("old", "new", "certainty"),
    [
        (f"750 / {CIB} directory\n~owner 189 hacluster haclient", f"700 / {CIB} directory\n~owner 0 root root", Certainty.LIKELY),
        (f"750 / {CIB}", f"550 / {CIB}", Certainty.LIKELY),
        (f"~owner 189 hacluster haclient {CIB}", f"~owner 777 UNKNOWN UNKNOWN {CIB}", Certainty.LIKELY),
        (f"~owner 189 hacluster haclient {INPUTS}", f"~owner 0 root root {INPUTS}", Certainty.POSSIBLE),
    ],
)
def test_a_folder_that_is_another_ones(old: str, new: str, certainty: Certainty) -> None:
    assert old in GOOD
    (cause,) = told(GOOD.replace(old, new))
    assert cause.host == "lknode02" and cause.certainty is certainty and "hacluster" in cause.says


@pytest.mark.parametrize(
    ("standby", "active"),
    [
        (GOOD, GOOD),
        (GOOD.replace("750", "755"), GOOD),
        (GOOD.replace("750", "770").replace("189 hacluster", "0 root"), GOOD),  # by the group
        (GOOD.replace("hacluster", "ha"), GOOD.replace("hacluster", "ha")),  # built with another account
        ("# asked\n", GOOD),
        (GOOD.replace("~owner", "~old"), GOOD),  # a bundle of before
        ("", GOOD),
    ],
)
def test_what_is_usual_is_none(standby: str, active: str) -> None:
    assert told(standby, active) == []


def test_what_an_old_installation_left_is_no_matter() -> None:
    roots = GOOD.replace("189 hacluster haclient", "0 root root")
    assert len(told(roots)) == 2 and told(roots, kind="lifekeeper") == []


def test_an_account_of_pacemakers_that_is_gone() -> None:
    gone = host("it", "@@ keys\nno account hacluster\nno group haclient\n@@ end\n").lacking_accounts
    nobodys = host("it", f"@@ files\n{GOOD.replace('hacluster haclient', 'UNKNOWN UNKNOWN')}").files

    def lacking(ours: frozenset[str], theirs: frozenset[str]) -> list[Cause]:
        it = both(lacking_accounts=(ours, theirs), files=(nobodys, nobodys))
        manager = it.cluster.manager.model_copy(update={"kind": "pacemaker"})
        return faults(diagnose(replace(it, cluster=it.cluster.model_copy(update={"manager": manager}))))

    says = sorted(c.says for c in lacking(frozenset(), gone) if c.host == "lknode02")
    assert [s[:21] for s in says] == ["the account hacluster", "the group haclient of"]
    assert not [c for c in lacking(gone, gone) if "does not exist" in c.says], "a build with another account"

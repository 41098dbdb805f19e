"""Looking changes nothing on any host: what `check`, `collect` and the reading suite leave is compared with before, by who knows nothing
of them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from harness.core.deadline import Deadline
from harness.lab.control import lab_registry
from tests.e2e.command_shell import Shell, shell_in
from tests.harm.lab_snapshot import LabLook

LIMIT_S = 300.0  # for the agents' own ends
USABLE = (0, 1, 3)  # it looked, whatever it found


@pytest.fixture(scope="module", params=["lifekeeper", "pacemaker"])
def shell(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with shell_in(tmp_path_factory.mktemp("state")) as one:
        one.up("--name", "looked", "--manager", request.param)
        yield one


@pytest.mark.deep
@pytest.mark.timeout(0)
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to look into every host")
@pytest.mark.parametrize("what", ["check", "collect", "suite"])
def test_looking_leaves_nothing(shell: Shell, what: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    lab = lab_registry.read(shell.labs / "looked")
    look = LabLook(lab)
    before, file, folder = look.baseline(), shell.labs / "looked" / "cluster.toml", tmp_path_factory.mktemp("out")
    if what == "suite":
        done = shell.pytest("-q", "tests/acceptance", "--cluster", file, "--reports", folder)
    else:
        more = ("--output", folder / "bundle.tar.gz") if what == "collect" else ()
        done = shell.lkharness(what, "--cluster", file, *more)
    assert done.returncode in USABLE, done.stderr
    assert not (left := look.left(before, Deadline(LIMIT_S))), "\n".join(left)

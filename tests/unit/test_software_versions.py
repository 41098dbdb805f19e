"""What a node says of its versions, asked of this machine's own shell, and the digest of a cluster file."""

from __future__ import annotations

import platform
import subprocess

from harness.managers.kinds.lifekeeper import LifeKeeper
from harness.managers.kinds.pacemaker import Pacemaker
from harness.managers.software_versions import command, parse
from harness.pytest_plugin.run_evidence import file_digest


def test_the_line_works_in_a_plain_shell_and_tells_the_kernel():
    for packages in (LifeKeeper.packages, Pacemaker.packages, ()):
        done = subprocess.run(["sh", "-c", command(packages)], capture_output=True, text=True)
        assert done.returncode == 0 and done.stderr == ""
        assert parse(done.stdout)["kernel"] == platform.release()


def test_a_node_that_says_anything_else_says_nothing_and_too_much_is_cut():
    assert parse("bash: uname: not found\nkernel=\n=9\n") == {}
    assert len(parse("\n".join(f"p{n}={'9' * 500}" for n in range(100)))) == 8
    assert len(parse("kernel=" + "9" * 500)["kernel"]) == 80


def test_the_digest_of_a_cluster_file_is_of_what_it_says_without_passwords():
    one = {"name": "a", "services": [{"name": "db", "port": 1, "settings": {"password": "x"}}]}
    other = {"services": [{"settings": {"password": "y"}, "port": 1, "name": "db"}], "name": "a"}
    assert file_digest(one) == file_digest(other) != file_digest({**one, "name": "b"})

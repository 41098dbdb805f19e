"""What Corosync refuses in its configuration: by reading it, and, where Corosync is installed, by its own word (`corosync -t`)."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.managers.parse.corosync_refusals import END, refusals

PROGRAM = shutil.which("corosync", path="/usr/sbin:/usr/bin:/sbin")
WHOLE = """totem {
  version: 2
  cluster_name: lk
  transport: knet
  crypto_cipher: none
  crypto_hash: none
  token: 1000
}
nodelist {
  node {
    ring0_addr: 127.0.0.1
    name: lknode01
    nodeid: 1
  }
  node {
    ring0_addr: 10.20.1.12
    name: lknode02
    nodeid: 2
  }
}
quorum {
  provider: corosync_votequorum
  two_node: 1
}
logging {
  to_logfile: no
  to_syslog: no
  to_stderr: yes
}
"""
REFUSED = {
    "a no-break space": (r"  two_node", "\u00a0 two_node", "is no name of a setting"),
    "a blank in a name": (r"two_node: 1", "two node: 1", "line 23"),
    "a strange letter": (r"two_node: 1", "zw\u00f6lf: 1", r"zw\u00f6lf"),
    "no colon": (r"token:", "token", "line 7, `token 1000`"),
    "after an opening brace": (r"quorum \{", "quorum { x", "follows the brace"),
    "a section on one line": (r"quorum \{", "quorum { provider: x }\nquorum {", "follows the brace"),
    "a section without a name": (r"quorum \{", "{", "has no name"),
    "a brace on the next line": (r"quorum \{", "quorum\n{", "neither opens nor closes"),
    "a brace too many": (r"quorum \{", "}\nquorum {", "closes nothing"),
    "a comment beside a brace": (r"\}\Z", "} # end", "beside a closing brace"),
    "two braces": (r"\}\Z", "}}", "beside a closing brace"),
    "a brace too few": (r"\}\Z", "", "the section `logging` is not closed"),
    "a comment behind a number": (r"two_node: 1", "two_node: 1 # yes", "has to be a whole number"),
    "no value": (r"two_node: 1", "two_node:", "empty"),
    "a word for a number": (r"two_node: 1", "two_node: yes", "whole number"),
    "a unit": (r"token: 1000", "token: 1s", "totem.token is `1s`"),
    "a long line": (r"  provider", f"  # {'a' * 600}\n  provider", "too long"),
    "one nodeid twice": (r"nodeid: 2", "nodeid: 1", "nodeid 1 appears twice"),
    "the nodeid 0": (r"nodeid: 1", "nodeid: 0", "knet needs one"),
    "no nodeid": (r"    nodeid: 2\n", "", "knet needs one"),
    "another version": (r"version: 2", "version: 3", "version is not 2"),
    "no version": (r"  version: 2\n", "", "version is not 2"),
    "another transport": (r"transport: knet", "transport: knett", "transport is `knett`"),
}
TAKEN = {
    "as it is": (r"\A", ""),
    "carriage returns": (r"\n", "\r\n"),
    "a brace in a comment": (r"  provider", "  # {\n  provider"),
    "a brace without a blank": (r"quorum \{", "quorum{"),
    "tabs and blank lines": (r"\n  ", "\n\n\t \t"),
    "an empty section": (r"\Z", "totem {\n}\n"),
    "no newline at its end": (r"\n\Z", ""),
    "other numbers": (r"nodeid: 2", "nodeid: 65535"),
    "a key that nobody knows": (r"two_node: 1", "two_node: 1\n  something_new: a b c"),
    "a deep section": (
        r"two_node: 1",
        "device {\n    model: net\n    votes: 1\n    net {\n      host: 127.0.0.1\n      algorithm: ffsplit\n    }\n  }",
    ),
}
DEVICE = "two_node: 1\n  device {\n    model: net\n  }"


def changed(pattern: str, new: str) -> str:
    text, times = re.subn(pattern, new.replace("\\", r"\\"), WHOLE.rstrip("\n") if pattern.endswith(r"\}\Z") else WHOLE)
    assert times
    return text


def said(text: str) -> list[str]:
    lines = text if text.endswith("\n") else f"{text}\n"
    return [refusal.says for refusal in refusals(f"{lines}{END}\n# no folder /x\n")]


@pytest.mark.parametrize("name", REFUSED)
def test_what_it_refuses_is_told_with_the_place(name: str) -> None:
    pattern, new, words = REFUSED[name]
    (reason,) = said(changed(pattern, new))
    assert words in reason and reason.isascii()


@pytest.mark.parametrize("name", TAKEN)
def test_what_it_takes_is_not_told(name: str) -> None:
    assert said(changed(*TAKEN[name])) == []


@pytest.mark.skipif(PROGRAM is None, reason="Corosync is not installed here: `apt-get install corosync`")
@pytest.mark.parametrize("name", [*REFUSED, *TAKEN])
def test_corosync_itself_says_the_same(name: str, tmp_path: Path) -> None:
    file = tmp_path / "corosync.conf"
    file.write_bytes(changed(*(REFUSED.get(name) or TAKEN[name])[:2]).encode())
    asked = subprocess.run([str(PROGRAM), "-t", "-c", str(file)], capture_output=True, text=True, errors="replace", timeout=60)
    assert (asked.returncode != 0) is (name in REFUSED), asked.stderr


@pytest.mark.parametrize("name", ["two_node", "auto_tie_breaker", "last_man_standing"])
def test_a_quorum_device_beside_another_way(name: str) -> None:
    """Which it finds out when it starts, and not when it tests its configuration."""
    assert said(changed("two_node: 1", DEVICE.replace("two_node", name))) == [f"{name} and a quorum device are configured together"]
    assert said(changed("two_node: 1", DEVICE.replace("two_node: 1", "two_node: 0"))) == []


def test_a_file_that_may_not_be_whole_is_not_judged() -> None:
    assert refusals(WHOLE[:-40]) == () and refusals("") == ()
    assert refusals(f"{WHOLE[:-40]}\n{END}\n")


@pytest.mark.parametrize(
    "text", ["}" * 9, "{\n" * 99, "\x00: 1", "a {\n\x1b[31m: x\n}", "nodelist {\nnode {\nnodeid: 1\n}\n}", ":", "\ud800"]
)
def test_no_text_makes_it_raise_and_what_it_quotes_is_plain(text: str) -> None:
    assert all(reason.isascii() and reason.isprintable() and len(reason) < 200 for reason in said(text))

"""docs/secret-encodings.md is the table of the forms in which secrets are recognised, and is held to here."""

from __future__ import annotations

import base64
import copy
import gzip
import json
import re
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.collect.known_secrets import known_secrets, without_secrets
from harness.config import cluster_config, trust
from harness.core.redaction import redactor
from harness.core.redaction.compressed_values import MAX_TEXT_BYTES, unpacked
from harness.core.redaction.redactor import REMOVED, Redactor
from harness.core.redaction.secret_encodings import pattern_of
from harness.core.redaction.secret_names import sensitive
from harness.core.redaction.value_forms import Form
from harness.lab.lifecycle import default_cluster
from tests.secret_encoding_cases import ENCODINGS, WRAPS, found_in, lines_of

PAGE = (Path(__file__).parents[2] / "docs" / "secret-encodings.md").read_text()
CANARY = "Zk9vcanary"  # nothing knows it, and it looks like nothing
KNOWN = "ka/na+ri 'enn€vog&el\"7<%Σ😀"
SAFE = "canary-known-7Qz"
LENGTHS = [SAFE + more for more in ("", "1", "12")]  # base64 pads each of them otherwise, or not at all


def examples(section: str) -> list[str]:
    part = PAGE.split(f"## {section}\n")[1].split("\n## ")[0]
    cells = [re.split(r"(?<!\\)\|", line)[2].strip() for line in part.splitlines() if line.startswith("| ")]
    return [cell[1:-1].replace("\\|", "|").replace("⏎", "\n") for cell in cells if cell.startswith("`")]


@pytest.mark.parametrize("form", redactor.PATTERNS, ids=lambda one: "")
@settings(max_examples=4)
@given(data=st.data())
def test_whatever_a_pattern_takes_has_one_of_its_words(form: Form, data: st.DataObject) -> None:
    """Of texts in ASCII; those that hold none of them are passed over."""
    short = re.sub(r",\d{3,4}\}", ",29}", form.pattern.pattern)
    taken = data.draw(st.from_regex(re.compile(short, form.pattern.flags), alphabet=st.characters(max_codepoint=127)))
    assert any(word in taken.lower() for word in form.words)
    assert not form.also or any(word in taken.lower() for word in form.also)


@pytest.mark.parametrize("name", ["PA\u017f\u017fWORD", "API_TO\u212aEN"])
def test_a_letter_that_is_one_of_asciis_to_a_pattern_hides_no_word(name: str) -> None:
    """A long s, the Kelvin sign."""
    assert CANARY not in Redactor().clean(f"{name}={CANARY}")


@pytest.mark.parametrize("example", examples("Values that nobody knows"))
def test_what_looks_like_a_secret_goes(example: str) -> None:
    assert "§" in example
    said = f"a line before\n{example.replace('§', CANARY)}\nlines after\n"
    clean = Redactor().clean(said)
    assert CANARY not in clean and REMOVED in clean and clean.startswith("a line before\n")


# Of one whose name comes behind the value nothing is known any more.
QUOTED = [e for e in examples("Values that nobody knows") if re.search(r"[\"']§", e) and e.count("§") == 1 and "<nvpair value" not in e]


@pytest.mark.parametrize("example", QUOTED)
def test_a_quoted_value_that_was_cut_off_goes_all_the_same(example: str) -> None:
    """A log's longest line, a message's longest quotation: the closing quote is gone."""
    assert CANARY not in Redactor().clean(example[: example.index("§")] + CANARY)
    assert CANARY not in (clean := Redactor().clean(f"{example[: example.index('§')]}{CANARY}\nthe next line")) and "the next line" in clean


@pytest.mark.parametrize("joined", [" ".join, "\\n".join, "\\r\\n".join])
@pytest.mark.parametrize("example", [e for e in examples("Values that nobody knows") if "PRIVATE KEY" in e or "Private-Lines" in e])
def test_a_key_whose_lines_were_joined(example: str, joined: Callable[[list[str]], str]) -> None:
    """By who put a message on one line, or wrote its line ends out."""
    lines = example.replace("§", "A1b2" * 16 + "\n" + "C3d4" * 16).split("\n")
    clean = Redactor().clean(f"it said: {joined(lines)}")
    assert "A1b2" not in clean and "C3d4" not in clean and clean.startswith("it said: ")


@pytest.mark.parametrize("joined", [" ".join, "\\n".join])
def test_the_rest_of_a_key_whose_lines_were_joined(joined: Callable[[list[str]], str]) -> None:
    lines = ["A1b2" * 16, "C3d4" * 16, "Q2FuYXJ5", "-----END RSA PRIVATE KEY-----", "went on"]
    clean = Redactor().clean(f"it said: {joined(lines)}")
    assert not any(line in clean for line in lines[:3]) and clean.startswith("it said: ") and clean.endswith("went on")


@pytest.mark.parametrize("example", examples("What stays"))
def test_what_is_no_secret_stays(example: str) -> None:
    assert Redactor().clean(example) == example


@pytest.mark.parametrize("value", [KNOWN, *LENGTHS])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_known_value_goes_in_every_form(encoding: str, value: str) -> None:
    written = ENCODINGS[encoding](value)
    clean = Redactor([value]).clean(f"before {written} after")
    assert REMOVED in clean and clean.startswith("before ") and clean.endswith(" after")
    rest = clean.removeprefix("before ").removesuffix(" after").replace(REMOVED, "")
    rest = re.sub(r'[\\"{}:=,\s]', "", rest)
    # What is left is what stood around it: quotes, what was encoded with it, and the ends of that.
    assert len(rest) <= 12, rest
    assert "canary" not in rest and "nari" not in rest


def test_utf16_that_was_read_as_bytes() -> None:
    assert "canary" not in Redactor([SAFE]).clean(f"before {SAFE.encode('utf-16-le').decode('latin-1')} after").replace("\0", "")


@pytest.mark.parametrize(
    "value,line",
    [
        ("oracle", "10.20.1.11 oracle-listener up"),
        ("oracle", "lib.oracle.com"),
        ("pg5432x", "0.0.0.0:15432 pg5432xy"),
    ],
)
def test_a_short_value_goes_only_where_all_of_it_stands(value: str, line: str) -> None:
    assert Redactor([value]).clean(line) == line
    assert Redactor([value]).clean(f"said '{value}'.") == f"said '{REMOVED}'."


def test_a_document_of_several_lines_does_not_shred_the_evidence() -> None:
    document = '{\n  "type": "x",\n  "client_secret": "canary-document",\n}\n'
    rules = "table inet filter {\n  chain input {\n  }\n}\n"
    assert Redactor([document]).clean(rules) == rules


@pytest.mark.parametrize("wrap", WRAPS)
def test_the_rest_of_a_key_whose_beginning_was_cut_off(wrap: str) -> None:
    lines = [f"{'A1b2' * 16}{n}" for n in range(3)] + ["Q2FuYXJ5", "-----END PRIVATE KEY-----", "went on"]
    clean = Redactor().clean("\n".join(wrap.format(line) for line in ["came before", *lines]))
    assert "A1b2" not in clean and "Q2FuYXJ5" not in clean
    assert clean.startswith(wrap.format("came before")) and clean.endswith(wrap.format("went on"))


@pytest.mark.parametrize(
    "name",
    [
        "SSHPASS",
        "DB_PASS",
        "DB_PASSWORD_PROD",
        "SECRET_KEY",
        "ADMIN_PW",
        "SAS_KEY",
        "STORAGE_KEY",
        "VAULT_TOKEN2",
        "clientSecret",
        "apiKey",
        "PGPASSWORD",
    ],
)
def test_names_of_secrets(name: str) -> None:
    assert sensitive(name)


@pytest.mark.parametrize(
    "name",
    [
        "password_file",
        "password_env",
        "password_command",
        "client_secret_variable",
        "key",
        "PATH",
        "BYPASS",
        "COMPASS",
        "tokenTimeout",
        "passive",
    ],
)
def test_names_of_none(name: str) -> None:
    assert not sensitive(name)


def test_of_every_command_of_a_cluster_file_only_the_program(tmp_path: Path) -> None:
    commands = (
        ["sshpass", "-p", "canary-one", "ssh", "vault"],
        ["vault", "read", "-token", "canary-two"],
        "curl -su svc:canary-three https://vault",
    )
    for command in commands:
        data = copy.deepcopy(default_cluster.cluster_data())
        data["services"][1]["settings"] = {"password_command": command}
        data["power"] = {"off": ["fence", "canary-four"], "on": ["fence"]}
        data["manager"]["mirror_check"] = ["/opt/mirror/check", "--password", "canary-five"]
        clean = without_secrets(data, Redactor())
        program = command.split()[0] if isinstance(command, str) else command[0]
        assert "canary" not in json.dumps(clean) and program in json.dumps(clean["services"][1]) and clean["power"]["off"][0] == "fence"


def test_the_words_of_every_command_are_known_and_what_nobody_agreed_to_is_named_by_its_program(tmp_path: Path) -> None:
    """What is left out of a file is told in bundles and pages, where its arguments would be seen."""
    data = copy.deepcopy(default_cluster.cluster_data())
    data["services"][1]["settings"] = {"password_command": "vault read --token canary-two", "user": "x"}
    data["services"][2]["settings"] = {"password_command": "an unbalanced ' --token canary-three"}
    data["power"] = {"off": ["fence", "-p", "canary-four"], "on": ["fence"]}
    data["manager"]["mirror_check"] = ["/opt/mirror/check", "--password", "canary-five"]
    cluster = cluster_config.parse(data, tmp_path / "cluster.toml")
    assert {f"canary-{n}" for n in ("two", "three", "four", "five")} <= known_secrets(cluster, {}, {})[0]
    asked = trust.trust_requests(data)
    assert len(asked) == 5 and "canary" not in json.dumps(asked) and "power.off runs `fence [removed]` on this machine" in asked
    assert "canary-four" in json.dumps(trust.trust_requests(data, with_arguments=True))


def test_what_is_too_weak_to_be_removed_is_told(tmp_path: Path) -> None:
    data = copy.deepcopy(default_cluster.cluster_data())
    cluster = cluster_config.parse(data, tmp_path / "cluster.toml")
    environment = {"A_PASSWORD": cluster.nodes[0].name, "C_PASSWORD": "oracle", "D_PASSWORD": "long-enough-canary"}
    known, notes = known_secrets(cluster, {}, environment)
    assert known == {"long-enough-canary"} and len(notes) == 1 and notes[0].startswith("2 of the secrets")


def test_of_documents_only_what_is_secret(tmp_path: Path) -> None:
    document = json.dumps({"clientId": "canary-id", "clientSecret": "canary-secret", "url": "https://management.azure.com/"}, indent=2)
    (tmp_path / "pw").write_text(f"canary-first\n{document}")
    data = copy.deepcopy(default_cluster.cluster_data())
    data["services"][1]["settings"] = {"password_file": "pw"}
    known, _ = known_secrets(cluster_config.parse(data, tmp_path / "cluster.toml"), {}, {"AZURE_CREDENTIALS": document})
    assert known == {"canary-first", "canary-secret"}


def test_what_looks_for_encodings_in_files_finds_each() -> None:
    """The control of the tests that look through what a whole run has written."""
    written = lines_of(KNOWN)
    assert len(written) >= 40
    assert found_in("\n".join(written.values()).encode(), KNOWN) == list(written) and not found_in(b"nothing", KNOWN)


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress, partial(zlib.compress, level=1), partial(zlib.compress, level=9)])
@pytest.mark.parametrize("code", [base64.b64encode, base64.urlsafe_b64encode, base64.encodebytes])
def test_a_known_value_in_what_is_compressed_and_then_base64_goes_with_all_of_it(pack, code) -> None:
    for length in range(9):
        text = f"{'settings of some tool; ' * 2}{'x' * length}\npassphrase {SAFE}\n"
        written = code(pack(text.encode())).decode()
        clean = Redactor([SAFE]).clean_known(f"before {written} after\n")
        assert clean.split() == ["before", REMOVED, "after"], clean
        assert Redactor(["another-canary"]).clean_known(written) == written


def test_a_few_bytes_that_stand_for_very_many_are_unpacked_no_further_than_the_limit() -> None:
    bomb = base64.b64encode(gzip.compress(bytes(64 * 1024 * 1024))).decode()
    assert len(unpacked(bomb)) <= MAX_TEXT_BYTES
    behind = base64.b64encode(gzip.compress(b"x" * (MAX_TEXT_BYTES + 99) + SAFE.encode())).decode()
    assert Redactor([SAFE]).clean_known(f"before {behind} after") == f"before {REMOVED} after", "what is not read may hold a value"
    assert unpacked("eJ" + "A" * 40) == "" and unpacked("H4sI" + "A" * 41) == ""


def test_only_what_may_hold_a_known_value_is_searched_for_all_its_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    """The forms of one private key take a third of a second to compile, in every command that reads one."""
    monkeypatch.setattr(redactor, "pattern_of", lambda value: pytest.fail(f"compiled: {value}"))
    said = "lknode01: LISTEN 0 128 0.0.0.0:1521, and what is known"
    assert Redactor([SAFE]).clean_known(said) == said


def test_a_value_that_stands_in_a_text_has_no_other_searched_for(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []
    monkeypatch.setattr(redactor, "pattern_of", lambda value: (compiled.append(value), pattern_of(value))[1])
    known = Redactor(["a-word-of-an-option", "a-key-" + 64 * "k", "b-key-" + 64 * "k"])
    assert known.clean_known("pytest -p a-word-of-an-option") == f"pytest -p {REMOVED}"
    assert compiled == ["a-word-of-an-option"]
    assert known.clean_known(f"a-word-of-an-option, b-key-{64 * 'k'}") == f"{REMOVED}, {REMOVED}", "each by itself"


@pytest.mark.parametrize("end", ["! -----END RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----"])
def test_a_line_of_words_like_a_keys_does_not_keep_it_busy(end: str) -> None:
    """By the steps that it takes, which grow with the line's length and not with its square: 300 kB in the time of a test."""
    Redactor().clean(("A" * 64 + " ") * 5_000 + end)

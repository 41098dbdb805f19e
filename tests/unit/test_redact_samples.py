"""What nodes' files, logs and process lists really hold: no secret of it is left, and nothing else is taken."""

from __future__ import annotations

import hashlib
import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core.redaction.assignments.assignment_heads import HEAD, head_places
from harness.core.redaction.assignments.named_values import remove_named_values
from harness.core.redaction.assignments.value_lines import MAX_LENGTH, MAX_LINES
from harness.core.redaction.output_redaction import Cleaner
from harness.core.redaction.redactor import PATTERNS, REMOVED, Redactor
from harness.core.redaction.secret_names import BEGINNINGS
from harness.core.redaction.value_forms import Form
from tests.secret_samples import HARMLESS, OVER_LINES, SECRET

SAMPLES = [pytest.param(sample, id=f"{kind}-{number}") for kind, samples in SECRET.items() for number, sample in enumerate(samples)]
NAME_BEHIND = ("echo", "'§'", '{"value"', "- value")  # what says that it is one stands behind the secret
# Of plain quotes over more lines than two, and of a value before its name, a stream's line says nothing.
NOT_LINE_BY_LINE = ("password='§\n§\n§'", "- value: §\n")


def fresh(sample: str) -> str:
    """A secret that is no other sample's, and looks like nothing."""
    return f"hK{hashlib.sha256(sample.encode()).hexdigest()[:10]}"


def test_the_table_is_as_long_as_it_was_meant() -> None:
    samples = [sample for kind in SECRET.values() for sample in kind]
    assert len(samples) == len(set(samples)) > 150 and all("§" in sample for sample in samples) and len(HARMLESS) > 70


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_secret_that_nobody_knows_goes_and_the_rest_stays(sample: str) -> None:
    secret = fresh(sample)
    clean = Redactor().clean(f"a line before\n{sample.replace('§', secret)}\nthe last line\n")
    assert secret not in clean and REMOVED in clean
    assert clean.startswith("a line before\n") and clean.endswith("\nthe last line\n")
    assert clean.count("stays") == sample.count("stays"), clean
    assert Redactor().clean(clean) == clean


@pytest.mark.parametrize("sample", SAMPLES)
def test_it_goes_where_the_text_was_cut_off_behind_it(sample: str) -> None:
    """A limit may fall anywhere; closing quotes and ends are missing then."""
    if sample.startswith(NAME_BEHIND) or (sample in OVER_LINES and ("='§\n" in sample or '="§\n' in sample)):
        pytest.skip("nothing says that it is one, or that the quote would have closed")
    secret = fresh(sample)
    shown = sample[: sample.rindex("§") + 1]
    assert secret not in Redactor().clean(f"a line before\n{shown.replace('§', secret)}")


@pytest.mark.parametrize("sample", SAMPLES)
def test_it_goes_line_by_line_as_a_log_is_followed(sample: str) -> None:
    if sample.startswith(NOT_LINE_BY_LINE):
        pytest.skip("known only by what comes later")
    secret, cleaner = fresh(sample), Cleaner()
    lines = ["a line before", *sample.replace("§", secret).split("\n"), "the last line"]
    said = [cleaner.line("a log", line) for line in lines]
    assert len(said) == len(lines) and secret not in "\n".join(said)
    assert (said[0], said[-1]) == ("a line before", "the last line")
    assert "\n".join(said).count("stays") == sample.count("stays"), said


@pytest.mark.parametrize("sample", SAMPLES)
def test_it_goes_as_the_lines_of_a_list(sample: str) -> None:
    """As records and indexes have the lines of a text, or the words of a command."""
    if sample.startswith(NOT_LINE_BY_LINE):
        pytest.skip("known only by what comes later")
    lines = sample.replace("§", fresh(sample)).split("\n")
    for said in (Cleaner().data({"lines": lines}), Redactor().clean_data({"lines": tuple(lines)})):
        assert fresh(sample) not in json.dumps(said) and len(said["lines"]) == len(lines)


def test_a_secret_word_of_a_list_and_the_value_of_a_pair() -> None:
    data = {
        "words": ["tool", "--password", "hunter2canary", "--host", "stays"],
        "env": [{"name": "DB_PASSWORD", "value": "hunter2canary"}, {"name": "HOST", "value": "stays"}],
        "tags": [{"Key": "AdminPassword", "Value": 7}, {"key": "password_file", "value": "stays"}],
    }
    assert Redactor().clean_data(data) == {
        "words": ["tool", "--password", REMOVED, "--host", "stays"],
        "env": [{"name": "DB_PASSWORD", "value": REMOVED}, {"name": "HOST", "value": "stays"}],
        "tags": [{"Key": "AdminPassword", "Value": REMOVED}, {"key": "password_file", "value": "stays"}],
    }
    assert Cleaner().data(data["words"]) == Redactor().clean_data(data)["words"]


@pytest.mark.parametrize("text", HARMLESS)
def test_what_holds_no_secret_stays(text: str) -> None:
    said = f"a line before\n{text}\nthe last line\n"
    assert Redactor().clean(said) == said
    assert Redactor().clean(text) == text
    cleaner = Cleaner()
    assert [cleaner.line("a log", line) for line in said.split("\n")] == said.split("\n")


@pytest.mark.parametrize("begun", ['password = """', "password: |", "password = <<EOT", 'p.password = @"', "passwords = [", 'password="'])
def test_a_form_that_never_ends_takes_no_more_than_its_limit(begun: str) -> None:
    lines = [f"  resource moved {number}" for number in range(2 * MAX_LINES)]
    clean = Redactor().clean("\n".join((begun, *lines)))
    assert clean.endswith(lines[-1]) and clean.count("resource moved") >= MAX_LINES
    long = "x" * 2 * MAX_LENGTH
    assert long[:MAX_LENGTH] in Redactor().clean(f"{begun}\nshort\n{long}\nthe end")


def test_a_quote_that_never_closes_ends_at_its_line() -> None:
    for behind in ('said "hello" to it', 'name = "stays"', "and nothing more", 'a = ""'):
        assert Redactor().clean(f'password="cut off\n{behind}\nmore') == f"password={REMOVED}\n{behind}\nmore"


def test_a_log_that_never_ends_its_form_goes_on_after_the_limit() -> None:
    cleaner = Cleaner()
    said = [cleaner.line("a", line) for line in ('password = """', *(f"moved {number}" for number in range(2 * MAX_LINES)))]
    assert said[-1] == f"moved {2 * MAX_LINES - 1}" and cleaner.line("another log", "moved") == "moved"


@settings(max_examples=60)
@given(data=st.data())
def test_a_name_begins_with_one_of_the_words_that_are_looked_for(data: st.DataObject) -> None:
    taken = data.draw(st.from_regex(HEAD, alphabet=st.characters(max_codepoint=127)))
    text, small = taken, taken.lower()
    assert remove_named_values(f"{text}x9Canary", f"{small}x9canary") != "" and any(word in small for word in BEGINNINGS)
    assert any(HEAD.match(taken, at) for at in head_places(text, small))


HOSTILE = (
    "password:\n",
    "password: |\n",
    "password: |\n  x\n",
    'password="',
    'password="\n',
    "password='''\n",
    "password = <<E\n",
    "password = \\\n",
    "password: [",
    'password: ["a",',
    "password: {a ",
    '"name": "password", ',
    "- name: password\n",
    "value=",
    'value: "x" ',
    "<password>",
    "<password ",
    "<name>password</name> ",
    "<a name='password'>",
    '["password", "',
    "| password | ",
    "a:1234:b:c:",
    "snmpget -c ",
    "curl -u ",
    "echo x | ",
    "chpasswd <<E\n",
    "net use \\\\x ",
    "ConvertTo-SecureString -Force ",
    "-n password ",
    "--password ",
    "--password\n- ",
    '"--password", ',
    "machine x password ",
    "user x ",
    "createUser x SHA ",
    ": PSK ",
    "1 MD5 ",
    "key: ",
    "auth_pass ",
    'secret "',
    "password is ",
    "password: |\\n  ",
    '{"M": "password: |\\n  ',
    "Nov 28 19:00:01 a b[7]: password: |\n",
    "password = x \\\n",
    "password:" + " " * 39,
    "USER x\n",
    "> PASS ",
    "# client server secret\n",
    "# client server secret\na b c\n",
    "a * b ",
    "a * b *\n",
    "[a.b]:587 a:",
    "[a.b] ",
    "smtp.a.b.c.d ",
    "a@b.c.d ",
)


@pytest.mark.parametrize("piece", HOSTILE)
def test_no_text_keeps_the_forms_busy(piece: str) -> None:
    """By processor time, which the machine's other work does not lengthen; a square of the length would be minutes."""
    began = time.process_time()
    Redactor().clean(piece * (100_000 // len(piece)))
    assert time.process_time() - began < 20


@pytest.mark.parametrize("form", PATTERNS, ids=lambda one: "")
def test_no_words_of_a_pattern_keep_it_busy(form: Form) -> None:
    began = time.process_time()
    for word in form.words:
        for behind in (" ", "=", ": x", '"', "\n"):
            form.pattern.sub(form.instead, (word + behind) * (20_000 // len(word + behind)))
    assert time.process_time() - began < 20


def test_no_line_keeps_a_followed_log_busy() -> None:
    began, cleaner = time.process_time(), Cleaner()
    for line in ("password: |", "  password: |", "--password", "x" * 20_000, *(["password:"] * 300)):
        cleaner.line("a", line)
    assert time.process_time() - began < 20

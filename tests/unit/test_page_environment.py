"""What templates were compiled to is kept beside them, and never used for another template than it was made of."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.report.html.page_environment import page_environment

PAGE = "page.html.j2"


@pytest.fixture
def templates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(sys, "pycache_prefix", None)
    (tmp_path / PAGE).write_text("first {{ word }}")
    return tmp_path


def rendered(templates: Path) -> str:
    return page_environment(templates).get_template(PAGE).render(word="<b>")


def kept(templates: Path) -> list[Path]:
    return [*(templates / "__pycache__").iterdir()]


def test_it_is_kept_and_used_again(templates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert rendered(templates) == "first &lt;b&gt;"
    assert [file.suffix for file in kept(templates)] == [".pyc"]
    monkeypatch.setattr("jinja2.Environment._generate", None)  # which would compile it
    assert rendered(templates) == "first &lt;b&gt;"


def test_of_a_template_that_was_changed_it_is_made_anew(templates: Path) -> None:
    rendered(templates)
    (templates / PAGE).write_text("second {{ word }}")
    assert rendered(templates) == "second &lt;b&gt;"
    assert len(kept(templates)) == 1


@pytest.mark.parametrize("left", [0, 1, 12, 40, 200])
def test_what_is_not_whole_is_made_anew(templates: Path, left: int) -> None:
    rendered(templates)
    (file,) = kept(templates)
    whole = file.read_bytes()
    file.write_bytes(whole[:left])
    assert rendered(templates) == "first &lt;b&gt;"
    assert file.read_bytes() == whole


def test_where_nothing_can_be_kept_it_is_compiled_every_time(templates: Path) -> None:
    (templates / "__pycache__").write_text("no folder")
    assert rendered(templates) == rendered(templates) == "first &lt;b&gt;"


def test_whoever_wants_no_bytecode_written_gets_none(templates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert rendered(templates) == "first &lt;b&gt;"
    assert [file.name for file in templates.iterdir()] == [PAGE]

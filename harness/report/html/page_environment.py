"""What every page is rendered with: nothing from outside may act, and all pages have the report's style."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import importlib.metadata
import importlib.util
import pickle
import secrets
import sys
from pathlib import Path
from typing import Any

from jinja2 import BytecodeCache, Environment, FileSystemLoader, StrictUndefined, Undefined
from jinja2.bccache import Bucket
from markupsafe import Markup

from harness.core.text import host_text

_STYLE = Path(__file__).with_name("templates") / "report.css"


def page_environment(templates: Path) -> Environment:
    """Templates of one folder: escaped, a name that is not there is an error, and every value is made visible."""
    return Environment(
        loader=FileSystemLoader(templates),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_escaped,
        bytecode_cache=_BesideTheTemplates(templates),
    )


class _BesideTheTemplates(BytecodeCache):
    """What templates were compiled to, where Python keeps what modules were compiled to, and under its rules: to compile a report's takes
    longer than to fill it in. jinja2 itself looks whether it is of this template, as it is now."""

    def __init__(self, templates: Path) -> None:
        self._templates = templates

    def load_bytecode(self, bucket: Bucket) -> None:
        with contextlib.suppress(OSError, EOFError, ValueError, pickle.UnpicklingError), self._file(bucket).open("rb") as file:
            bucket.load_bytecode(file)

    def dump_bytecode(self, bucket: Bucket) -> None:
        if sys.dont_write_bytecode:
            return
        file = self._file(bucket)
        with contextlib.suppress(OSError):  # somebody else's folder: it is compiled every time
            file.parent.mkdir(parents=True, exist_ok=True)
            temporary_path = file.with_name(f".{file.name}-{secrets.token_hex(4)}")  # others may write theirs at the same time
            try:
                with temporary_path.open("xb") as temporary_file:
                    bucket.write_bytecode(temporary_file)
                temporary_path.chmod(self._templates.stat().st_mode & 0o644)
                temporary_path.replace(file)
            finally:
                temporary_path.unlink(missing_ok=True)

    def _file(self, bucket: Bucket) -> Path:
        made_by = importlib.metadata.version("jinja2")
        return Path(importlib.util.cache_from_source(self._templates / f"{bucket.key}-{made_by}.j2"))


def style(*more_sheets: Path) -> Markup:
    """The report's style sheet, with a page's own behind it."""
    return Markup("".join(file.read_text(encoding="utf-8") for file in (_STYLE, *more_sheets)))


def inline_script(script: str) -> dict[str, str]:
    """What a page's template takes of its script: the text, and the hash by which the page's policy permits this one and no other."""
    return {"script": Markup(script), "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}


def _escaped(value: Any) -> Any:
    """Nothing from outside may act: control characters and direction marks are written out, the rest is escaped by jinja2."""
    if hasattr(value, "__html__") or isinstance(value, int | float | Undefined):
        return value
    return host_text.visible(str(value))

"""The archive: written as it grows, every byte of text through the redactor, never larger than its limit; and read again with suspicion."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import secrets
import tarfile
import threading
import time
import zlib
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from harness.core.errors import BadUse, Unusable
from harness.core.files import path_exists
from harness.core.redaction.redactor import Redactor
from harness.core.text.host_text import storable

FORMAT = 1
MB = 1024 * 1024
MAX_TEXT_BYTES = 48 * MB  # of all files together, before compression
MAX_INDEX_BYTES = 16 * MB  # of index.json; one that is read and larger is no bundle of ours
MAX_UNPACKED_BYTES = 128 * MB  # of one that is read; ours have MAX_TEXT_BYTES and captures besides
MAX_HEADER_BYTES = 1 * MB  # of a member's name and attributes
HEADERS = (tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE)
FILES = (tarfile.REGTYPE, tarfile.AREGTYPE)
INDEX, CLUSTER = "index.json", "cluster.json"


def truncate(text: str, max_bytes: int, *, newest: bool = False) -> tuple[str, str]:
    """`text` in at most `max_bytes` bytes of whole lines, and a sentence when something is missing.

    Whole lines, because half a secret at the edge would not be known for one.
    """
    raw = text.encode("utf-8", "backslashreplace")
    if len(raw) <= max_bytes:
        return text, ""
    part = raw[-max_bytes:].partition(b"\n")[2] if newest else b"".join(raw[:max_bytes].rpartition(b"\n")[:2])
    which_end = "end" if newest else "beginning"
    return part.decode("utf-8", "replace"), f"longer than its limit of {max_bytes} bytes: only the {which_end} is here"


class Bundle:
    """A .tar.gz that appears under its name when it is complete, readable by its owner only. A context manager."""

    def __init__(self, path: Path, redactor: Redactor, *, max_text_bytes: int = MAX_TEXT_BYTES) -> None:
        self.path = path
        self.top = re.sub(r"\.(tar\.gz|tgz)$", "", path.name) or "bundle"
        self._redactor = redactor
        self._bytes_left = max_text_bytes
        self._lock = threading.Lock()
        self._temporary_path = path.with_name(f".{path.name}-{secrets.token_hex(4)}")

    def __enter__(self) -> Bundle:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # os.open, so that nobody else can read it even while it grows
            self._file = os.fdopen(
                os.open(self._temporary_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600), "wb"
            )
            self._tar = tarfile.open(fileobj=self._file, mode="w:gz")
        except OSError as error:
            self._remove_temporary_file()
            raise Unusable(
                f"{self.path}: the bundle cannot be written there ({error.strerror}); name another place with --output"
            ) from error
        except BaseException:  # Ctrl-C, as soon as the file is there
            self._remove_temporary_file()
            raise
        return self

    def _remove_temporary_file(self) -> None:
        if path_exists(self._temporary_path):
            self._temporary_path.unlink(missing_ok=True)

    def __exit__(self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self._tar.close()
            self._file.close()
            if error_type is None:
                self._temporary_path.replace(self.path)
        except OSError as fault:
            if error_type is None:
                raise Unusable(f"{self.path}: the bundle cannot be completed ({fault.strerror}); is there room on that disk?") from fault
        finally:
            self._remove_temporary_file()

    def text(self, name: str, text: str) -> int | None:
        """Put a text in, without secrets; returns its size in bytes, None when the bundle has no room left for it."""
        return self._put(name, storable(self._redactor.clean(text)).encode())

    def data(self, name: str, data: Any) -> int | None:
        """Put JSON in, without secrets."""
        return self._put(name, json.dumps(self._redactor.clean_data(data), indent=1, default=str).encode() + b"\n", always=True)

    def page(self, name: str, page: str) -> int | None:
        """Put in a page that was made of cleaned data."""
        return self._put(name, storable(page).encode(), always=True)

    def packets(self, name: str, raw: bytes) -> int | None:
        """Put a capture in. It holds headers only; see `captures`."""
        return self._put(name, raw)

    def _put(self, name: str, raw: bytes, *, always: bool = False) -> int | None:
        with self._lock:
            if not always and len(raw) > self._bytes_left:
                return None
            self._bytes_left -= len(raw)
            entry = tarfile.TarInfo(f"{self.top}/{name}")
            entry.size, entry.mtime, entry.mode = len(raw), int(time.time()), 0o600
            try:
                self._tar.addfile(entry, io.BytesIO(raw))
            except OSError as error:
                raise Unusable(f"{self.path}: the bundle cannot be written ({error.strerror}); is there room on that disk?") from error
        return len(raw)


class _Member(tarfile.TarInfo):
    """A member of a bundle that somebody sent: a plain file, or a header of modest size. tarfile reads a header whole into memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Member:
        member = super().frombuf(buf, encoding, errors)
        if member.type in HEADERS and member.size > MAX_HEADER_BYTES:
            raise ValueError(f"a member's header is larger than {MAX_HEADER_BYTES} bytes")
        if member.type not in (*HEADERS, *FILES):
            raise ValueError(f"a member ({member.name[:100]}) is no plain file")
        return member


class _Bounded:
    """What a compressed file unpacks to, up to a limit. Raises ValueError beyond it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = gzip.GzipFile(fileobj=file)
        self._bytes_left = MAX_UNPACKED_BYTES

    def read(self, size: int) -> bytes:
        raw = self._file.read(min(size, self._bytes_left + 1))
        self._bytes_left -= len(raw)
        if self._bytes_left < 0:
            raise ValueError(f"it unpacks to more than {MAX_UNPACKED_BYTES} bytes")
        return raw


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """A bundle's index and its cluster file as data. Nothing is unpacked to disk. Raises BadUse for what is no bundle."""
    index, cluster, _ = read_with_texts(path, re.compile(r"(?!)"))
    return index, cluster


def read_with_texts(path: Path, text_names: re.Pattern[str]) -> tuple[dict[str, Any], dict[str, Any], dict[str, str]]:
    """The same, and the texts whose names in the bundle match `text_names`, by these names; together MAX_TEXT_BYTES at most."""
    texts: dict[str, str] = {}
    try:
        # As a stream: what is passed over is read in small pieces and counted.
        with path.open("rb") as file, tarfile.open(fileobj=_Bounded(file), mode="r|", tarinfo=_Member) as tar:  # type: ignore[call-overload]
            tables = _members(tar, text_names, texts)
    except OSError as error:
        if not isinstance(error, tarfile.TarError) and error.strerror:
            raise BadUse(f"{path}: cannot be read ({error.strerror}); give the path of a bundle that `lkharness collect` wrote") from error
        raise BadUse(f"{path}: is no bundle of `lkharness collect`: {error}") from error
    except (tarfile.TarError, EOFError, zlib.error, ValueError, RecursionError) as error:
        raise BadUse(f"{path}: is no whole bundle of `lkharness collect`: {error or type(error).__name__}") from error
    if INDEX not in tables or CLUSTER not in tables:
        raise BadUse(f"{path}: is no bundle of `lkharness collect`: it lacks {INDEX if INDEX not in tables else CLUSTER}")
    index, cluster = tables[INDEX], tables[CLUSTER]
    if index.get("format") != FORMAT:
        raise BadUse(f"{path}: is a bundle of format {index.get('format')!r}, this harness reads {FORMAT}; use the harness that made it")
    return index, cluster, texts


def _members(tar: tarfile.TarFile, text_names: re.Pattern[str], texts: dict[str, str]) -> dict[str, dict[str, Any]]:
    tables: dict[str, dict[str, Any]] = {}
    bytes_left = MAX_TEXT_BYTES
    for member in tar:
        name = member.name.partition("/")[2]
        if member.isfile() and text_names.fullmatch(name):
            bytes_left -= member.size
            if bytes_left < 0:
                raise ValueError(f"its texts are larger than {MAX_TEXT_BYTES} bytes")
            text = tar.extractfile(member)
            texts[name] = text.read().decode("utf-8", "replace") if text else ""
            continue
        if name not in (INDEX, CLUSTER) or not member.isfile():
            continue
        if member.size > MAX_INDEX_BYTES:
            raise ValueError(f"{name} is larger than {MAX_INDEX_BYTES} bytes")
        file = tar.extractfile(member)
        data = json.loads(file.read()) if file else None
        if not isinstance(data, dict):
            raise ValueError(f"{name} holds no table")
        tables[name] = data
        if len(tables) == 2:
            break
    return tables

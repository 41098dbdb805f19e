"""Files on the harness's own machine: paths as a person wrote them, and a file that is replaced as a whole or not at all."""

from __future__ import annotations

import contextlib
import io
import lzma
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from harness.core.errors import BadUse


def expand_user(path: Path | str) -> Path:
    """The path with its `~` or `~user` written out. Raises BadUse where nobody knows that home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise BadUse(f"{path}: nobody's home is known for that; write the whole path") from None


def path_exists(path: Path | str) -> bool:
    """Is anything there? A name that is too long, or in a folder that may not be looked into, is none; for it pathlib's methods raise."""
    return os.path.exists(path)  # noqa: PTH110


def file_exists(path: Path | str) -> bool:
    """Is a file there? As `path_exists`."""
    return os.path.isfile(path)  # noqa: PTH113


def folder_exists(path: Path | str) -> bool:
    """Is a folder there? As `path_exists`."""
    return os.path.isdir(path)  # noqa: PTH112


OTHERS_READ = 0o022  # umasks: everybody may read what is written, its owner alone may write it
OWNER_ALONE = 0o077  # nobody but the owner may do either


@contextlib.contextmanager
def writing_for(umask: int) -> Iterator[None]:
    """Within it this process and its children write with the umask `others`, whatever the caller's was. No rights on Windows."""
    before = os.umask(umask)
    try:
        yield
    finally:
        os.umask(before)


def write_atomically(path: Path, text: str, *, private: bool = False) -> Path:
    """Write `text` so that `path` holds either its old content or all of the new, even if the machine stops in between.

    `private`: for its owner alone to read. Otherwise a file that is there keeps its rights, and a new one has those of the umask.
    """
    temporary = path.with_name(f".{path.name}-{os.urandom(4).hex()}")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o666)
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            if not private:
                _keep_rights(path, handle)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _settle(path.parent)
    return path


PACKED = ".xz"
"""The suffix of a file that was packed. `<name>` and `<name>.xz` are the same file to whoever reads it by `open_text`."""


def packed(path: Path) -> Path:
    """Where the packed form of a file lies."""
    return path.with_name(path.name + PACKED)


def stored(path: Path) -> Path:
    """The form of a file that is there: itself, or its packed one; itself where neither is."""
    return packed(path) if not path_exists(path) and path_exists(packed(path)) else path


def open_text(path: Path, *, errors: str = "strict") -> TextIO:
    """Open a text file for reading, packed or not. Raises OSError; a packed file that is damaged raises it, too, when it is read."""
    form = stored(path)
    if form == path:
        return path.open(encoding="utf-8", errors=errors)
    return io.TextIOWrapper(_Unpacked(form), encoding="utf-8", errors=errors)


class _Unpacked(lzma.LZMAFile):
    """What is wrong with a packed file is an error of reading it, as with any other file."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)

    def read(self, size: int | None = -1) -> bytes:
        """As of any binary file. Raises OSError."""
        try:
            return super().read(size)
        except (lzma.LZMAError, EOFError) as error:
            raise OSError(f"the packed file is damaged: {error}") from error

    def read1(self, size: int = -1) -> bytes:
        """As of any binary file. Raises OSError."""
        try:
            return super().read1(size)
        except (lzma.LZMAError, EOFError) as error:
            raise OSError(f"the packed file is damaged: {error}") from error


def _keep_rights(path: Path, handle: int) -> None:
    """What was published stays so when it is written again. Windows keeps rights in lists, which the folder gives."""
    if hasattr(os, "fchmod") and path.is_file() and not path.is_symlink():
        os.fchmod(handle, stat.S_IMODE(path.stat().st_mode))


def own_uid() -> int:
    """The number of this process's user; 0 on Windows, where every file says that it is 0's, and lists of rights keep others out."""
    return os.geteuid() if hasattr(os, "geteuid") else 0


def others_may_write(status: os.stat_result) -> bool:
    """By the file's mode, which says nothing on Windows."""
    return hasattr(os, "geteuid") and bool(status.st_mode & (stat.S_IWGRP | stat.S_IWOTH))


def others_may_read(status: os.stat_result) -> bool:
    """By the file's mode, which says nothing on Windows."""
    return hasattr(os, "geteuid") and bool(status.st_mode & (stat.S_IRGRP | stat.S_IROTH))


def _settle(folder: Path) -> None:
    """Make a rename in `folder` last. Windows opens no folder, and settles a rename itself."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""A bundle from a stranger: it takes no memory, and a lab like it writes nowhere but into itself."""

from __future__ import annotations

import contextlib
import copy
import gzip
import io
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.collect import bundle
from harness.collect.lab_from_bundle import shape_of
from harness.config import cluster_config
from harness.core.errors import BadUse
from harness.lab import lab_config
from harness.lab.guests import host_provisioning
from harness.lab.lifecycle import default_cluster

HUGE = 160 * 1024 * 1024


def header(kind: bytes, size: int) -> bytes:
    entry = tarfile.TarInfo("x/y")
    entry.type, entry.size = kind, size
    return entry.tobuf(tarfile.GNU_FORMAT)


def zeros(file: gzip.GzipFile, size: int) -> None:
    block = bytes(1024 * 1024)
    for _ in range(size // len(block)):
        file.write(block)


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGLINK, tarfile.REGTYPE])
def test_a_small_file_takes_no_memory(tmp_path: Path, kind: bytes) -> None:
    """A gigabyte of zeros is a megabyte; here it is a sixth of that."""
    path = tmp_path / "b.tar.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(header(kind, HUGE))
        zeros(file, HUGE)
    tracemalloc.start()
    with pytest.raises(BadUse, match="is no whole bundle"):
        bundle.read(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40 * 1024 * 1024


def test_what_is_passed_over_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A member that nobody reads costs the time of unpacking it; one without an end would for ever."""
    monkeypatch.setattr(bundle, "MAX_UNPACKED_BYTES", 1024 * 1024)
    for size, refused in ((100_000, False), (2_000_000, True)):
        path = tmp_path / f"{size}.tar.gz"
        with tarfile.open(path, "w:gz") as tar:
            for name, raw in (("other.txt", bytes(size)), ("index.json", b'{"format": 1}'), ("cluster.json", b"{}")):
                entry = tarfile.TarInfo(f"x/{name}")
                entry.size = len(raw)
                tar.addfile(entry, io.BytesIO(raw))
        with pytest.raises(BadUse, match="unpacks to more than 1048576 bytes") if refused else contextlib.nullcontext():
            bundle.read(path)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_only_plain_files_are_members(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "b.tar.gz"
    path.write_bytes(gzip.compress(header(kind, 0) + bytes(1024)))
    with pytest.raises(BadUse, match="is no plain file"):
        bundle.read(path)


def test_an_ordinary_bundle_of_another_tar_is_read(tmp_path: Path) -> None:
    path, long = tmp_path / "b.tar.gz", "x" * 150
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as tar:
        for name, raw in (("other.txt", b"x" * 100_000), ("index.json", b'{"format": 1}'), ("cluster.json", b"{}")):
            entry = tarfile.TarInfo(f"{long}/{name}")
            entry.size = len(raw)
            tar.addfile(entry, io.BytesIO(raw))
    assert bundle.read(path) == ({"format": 1}, {})


ROOTS = ["/opt/../../{}", "/opt/x/../../{}"]


@pytest.mark.parametrize("root", ROOTS)
def test_no_root_leads_out_of_a_lab(tmp_path: Path, root: str) -> None:
    root = root.format(str(tmp_path / "out").lstrip("/"))
    data = copy.deepcopy(default_cluster.cluster_data())
    with pytest.raises(BadUse, match=r"manager.root: .* goes up by `..`"):
        cluster_config.parse({**data, "manager": {"root": root}}, tmp_path / "c.toml")
    sound = cluster_config.parse(data, tmp_path / "c.toml")
    past_the_model = sound.model_copy(update={"manager": sound.manager.model_copy(update={"root": Path(root)})})
    with pytest.raises(BadUse, match="is not below /opt"):
        lab_config.make_lab_config(past_the_model, tmp_path / "c.toml")
    (tmp_path / "disk").mkdir()
    with pytest.raises(BadUse, match="leads out of the lab's host"):
        host_provisioning._path_on_disk(tmp_path / "disk", Path("/opt/../../out"))


def test_a_link_on_the_disk_does_not_either(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "opt").symlink_to(tmp_path)
    with pytest.raises(BadUse, match="leads out"):
        host_provisioning._path_on_disk(tmp_path / "disk", Path("/opt/LifeKeeper"))


def test_a_bundles_word_for_the_root_is_not_taken(tmp_path: Path) -> None:
    cluster = copy.deepcopy(default_cluster.cluster_data()) | {"manager": {"kind": "lifekeeper", "root": "/opt/../../x"}}
    index = {"hosts": [], "manager": {"active": None, "nodes": {}}}
    shape: Callable[..., object] = shape_of
    made = shape(index, cluster, {})
    assert "root" not in made.data["manager"]  # type: ignore[attr-defined]

"""Names that no file can have, as a slip of the shell gives them: one sentence, the right code, and nothing left."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from harness import cli
from harness.collect.known_secrets import known_secrets
from harness.config import cluster_config
from harness.core.files import file_exists, folder_exists, path_exists, stored
from harness.lab.lifecycle import default_cluster

TOO_LONG = "n" * 300  # file systems take 255 bytes
FILE = f"{TOO_LONG}.toml"


@pytest.mark.parametrize(
    ("words", "exit_code"),
    [
        (["check", "--cluster", FILE], 2),
        (["check", f"{TOO_LONG}.tar.gz"], 2),
        (["collect", "--cluster", FILE], 2),
        (["explain", TOO_LONG], 2),
        (["explain", f"{TOO_LONG}.pcapng", "--cluster", FILE], 2),
        (["judge", TOO_LONG], 2),
        (["report", TOO_LONG], 2),
        (["compare", TOO_LONG, TOO_LONG], 2),
        (["history", TOO_LONG], 2),
        (["gate", TOO_LONG, "--gate", FILE], 2),
        (["fleet", FILE, "--", "check"], 2),
        (["fleet", "matrix", FILE], 2),
        (["fleet", "merge", TOO_LONG], 2),
        (["trust", FILE], 2),
        (["lab", "up", "--file", FILE], 2),
        (["lab", "up", "--like", TOO_LONG], 2),
        (["azure", "rehearse", "--answers", TOO_LONG], 2),
        (["azure", "rehearse", "--template", TOO_LONG], 4),
    ],
    ids=lambda value: " ".join(word[:9] for word in value) if isinstance(value, list) else "",
)
def test_a_name_that_no_file_can_have_is_one_sentence(
    words: list[str], exit_code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(words) == exit_code
    out, err = capsys.readouterr()
    assert not out and err.startswith("lkharness: ") and err.count("\n") == 1, err
    assert not list(tmp_path.iterdir())


def test_nothing_has_a_name_that_is_too_long(tmp_path: Path) -> None:
    place = tmp_path / TOO_LONG
    assert not path_exists(place) and not file_exists(place) and not folder_exists(place)
    assert stored(place) == place
    (tmp_path / "file").touch()
    assert path_exists(tmp_path / "file") and file_exists(tmp_path / "file") and folder_exists(tmp_path)


def test_a_long_secret_that_begins_like_a_path_is_one(tmp_path: Path) -> None:
    """A base64 word may; a file that is there and a short number are no secrets."""
    cluster = cluster_config.parse(copy.deepcopy(default_cluster.cluster_data()), tmp_path / "cluster.toml")
    secret = "/" + "aZ3x" * 100
    here = tmp_path / "askpass"
    here.touch()
    environment = {"SIGNING_SECRET": secret, "SSH_ASKPASS": str(here), "A_PASSWORD": "1234567", "B_PASSWORD_FILE": secret}
    assert known_secrets(cluster, {}, environment)[0] == {secret}

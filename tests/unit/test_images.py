"""Images of guests: the key of a recipe, and the cache."""

from __future__ import annotations

import io
import json
import os
import tarfile
from dataclasses import replace

import pytest

from harness.core.errors import BadUse, Unusable
from harness.lab.guests.images import container_engine, image_build, image_recipe, image_store

RECIPE = image_recipe.Recipe("pacemaker", "bookworm", "x86_64", ("systemd",))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(image_store, "recipe", lambda name: image_recipe.Recipe(name, "bookworm", "x86_64", ("systemd",)))
    return tmp_path / "lkharness" / "images"


def put(cache, recipe, built_at=1.0, **about):
    folder = cache / f"{recipe.name}-{recipe.key}"
    folder.mkdir(parents=True)
    known = {"name": recipe.name, "key": recipe.key, "suite": recipe.suite, "bytes": 4, "built_at": built_at, "build_s": 1.0}
    (folder / image_store.ABOUT).write_text(json.dumps({**known, **about}))
    (folder / image_store.ROOT_FILE_SYSTEM).write_bytes(b"root")
    return folder


@pytest.mark.parametrize(
    "change",
    [{"suite": "trixie"}, {"architecture": "aarch64"}, {"packages": ("systemd", "dbus")}, {"excluded": ()}, {"after_packages": "true"}],
)
def test_the_key_changes_with_everything_that_an_image_is_made_of(change):
    assert replace(RECIPE, **change).key != RECIPE.key
    assert replace(RECIPE).key == RECIPE.key


def test_an_unknown_image_is_bad_use():
    with pytest.raises(BadUse, match="there is no recipe for an image 'windows'; there is pacemaker"):
        image_recipe.recipe("windows")


def test_only_an_image_of_the_recipe_as_it_is_now_is_used(cache):
    put(cache, replace(RECIPE, packages=("older",)), built_at=9.0)
    with pytest.raises(Unusable, match="lkharness lab image build pacemaker"):
        image_store.find("pacemaker")
    folder = put(cache, RECIPE)
    assert image_store.find("pacemaker").folder == folder
    assert [image.is_current for image in image_store.images()] == [False, True]


def test_removed_nothing_of_it_is_left(cache):
    put(cache, RECIPE)
    image_store.remove(image_store.find("pacemaker"))
    assert list(cache.iterdir()) == [] and image_store.images() == []


def test_a_build_that_was_killed_is_no_image_and_is_forgotten(cache, monkeypatch):
    half = cache / f".pacemaker-{RECIPE.key}.999999999.abc"
    half.mkdir(parents=True)
    living = cache / f".pacemaker-{RECIPE.key}.{os.getpid()}.abc"
    living.mkdir()
    assert image_store.images() == []
    image_build._forget_halves(cache)
    assert list(cache.iterdir()) == [living]


def test_what_the_lab_must_know_is_read_from_the_archive(tmp_path):
    with tarfile.open(tmp_path / "root.tar", "w") as tar:
        for name, text in (("./etc/passwd", b"root:x:0:0:::\npostgres:x:104:106:::\n"), ("./usr/lib/postgresql/15/bin/postgres", b"ELF")):
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text))
    about = image_build._contents(tmp_path / "root.tar")
    assert about["accounts"]["postgres"] == (104, 106) and about["postgres"] == ["15"]
    image = image_store.Image(tmp_path, {"name": "pacemaker", **about})
    assert image.ids("postgres") == (104, 106)
    with pytest.raises(Unusable, match="has no account hacluster"):
        image.ids("hacluster")


def test_without_an_engine_the_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Unusable, match=r"need docker or podman, and there is neither; fix it with: apt-get install .*podman"):
        container_engine.find()


def test_only_rights_that_this_process_has_are_asked_for():
    assert set(container_engine.own_capabilities()) <= set(container_engine.CAPABILITIES)

"""The images that were built on this machine, in the cache: one folder each, named after recipe and key."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core.errors import Unusable
from harness.lab.guests.images.image_recipe import recipe

ROOT_FILE_SYSTEM = "root.tar"
ABOUT = "image.json"


def cache_folder() -> Path:
    """What is worth keeping from lab to lab: images, the database template and the password that it was made with."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lkharness"


def images_folder() -> Path:
    """Where the images lie."""
    return cache_folder() / "images"


@dataclass(frozen=True)
class Image:
    """An image in the cache; `about` is what was written down when it was built."""

    folder: Path
    about: dict[str, Any]

    @property
    def name(self) -> str:
        """The name of its recipe."""
        return self.about["name"]

    @property
    def tag(self) -> str:
        """What container engines know it by."""
        return f"lkharness/{self.name}:{self.about['key']}"

    @property
    def root(self) -> Path:
        """Its root file system, a tar archive."""
        return self.folder / ROOT_FILE_SYSTEM

    @property
    def is_current(self) -> bool:
        """Whether its recipe is still the one that this version of the product would build by."""
        try:
            return recipe(self.name).key == self.about["key"]
        except Exception as error:  # a recipe of an older version, or a cache carried to another distribution
            return not str(error)

    def ids(self, account: str) -> tuple[int, int]:
        """The numbers of an account of the image: user and group. Raises Unusable."""
        try:
            user, group = self.about["accounts"][account]
        except KeyError:
            raise Unusable(
                f"the image {self.name} has no account {account}; build it again: `lkharness lab image build {self.name}`"
            ) from None
        return int(user), int(group)


def images() -> list[Image]:
    """Every image that was built here, by name, the newest first."""
    images_built = []
    for description_file in images_folder().glob(f"*/{ABOUT}"):
        images_built.append(Image(description_file.parent, json.loads(description_file.read_text())))
    return sorted(images_built, key=lambda image: (image.name, -image.about["built_at"]))


def find(name: str) -> Image:
    """The built image of a recipe as it is now. Raises BadUse for an unknown recipe, Unusable (with what builds it) where there is none."""
    key = recipe(name).key
    for image in images():
        if image.name == name and image.about["key"] == key:
            return image
    raise Unusable(f"the image {name} is not built on this machine; build it with: lkharness lab image build {name}   (minutes, once)")


def remove(image: Image) -> None:
    """Take it out of the cache."""
    (image.folder / ABOUT).unlink()  # from here on it is no image any more
    shutil.rmtree(image.folder)

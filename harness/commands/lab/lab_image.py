"""`lkharness lab image …`: images of guests, built from the distribution's packages and kept in a cache."""

from __future__ import annotations

import argparse
import sys

from harness.commands.shared_options import add, print_json
from harness.core.errors import BadUse, HarnessError


def add_to(verbs) -> None:
    """Adds the command to the parser."""
    image = verbs.add_parser(
        "image", help="images for guests of kind container and machine", epilog="example: lkharness lab image build pacemaker"
    )
    whats = image.add_subparsers(title="what to do", metavar="WHAT", required=True, parser_class=type(image))
    build = add(whats, "build", _build, "build an image, unless it is there already", "lkharness lab image build pacemaker")
    build.add_argument("image", help="the name of a recipe: pacemaker, or pacemaker-azure, which fences through Azure's API")
    build.add_argument("--machine", action="store_true", help="with a machine disk: a kernel, and the image's files as a disk")
    add(whats, "list", _list, "list the images that were built here, with their sizes", "lkharness lab image list")
    remove = add(whats, "remove", _remove, "remove an image, all of its versions", "lkharness lab image remove pacemaker")
    remove.add_argument("image", help="its name, as `lkharness lab image list` shows it")


def _build(arguments: argparse.Namespace) -> int:
    from harness.lab.guests.images import image_build, image_recipe, machine_image

    recipe = image_recipe.recipe(arguments.image)
    say = lambda text: print(f"  {text}", file=sys.stderr, flush=True)  # noqa: E731
    image = image_build.build(recipe, say)
    if arguments.machine:
        machine_image.make(image, say)
    if arguments.json:
        print_json(_image_data(image))
    else:
        description = image.about
        print(
            f"the image {image.name} ({description['key']}) is in {image.folder}: {_size(image)}, built in {description['build_s']:.0f} s"
        )
    return 0


def _list(arguments: argparse.Namespace) -> int:
    from harness.lab.guests.images import image_store

    images = image_store.images()
    if arguments.json:
        print_json({"images": [_image_data(image) for image in images]})
        return 0
    rows = [f"{i.name}  {i.about['key']}  {i.about['suite']}  {_size(i)}{'' if i.is_current else '  (of an older recipe)'}" for i in images]
    print("\n".join(rows) or "there is no image; build one with `lkharness lab image build pacemaker`")
    return 0


def _remove(arguments: argparse.Namespace) -> int:
    from harness.lab.guests.images import container_engine, image_store

    images = [image for image in image_store.images() if image.name == arguments.image]
    if not images:
        names = sorted({image.name for image in image_store.images()})
        raise BadUse(f"there is no image {arguments.image!r} here; there is {', '.join(names) or 'none'}")
    try:
        engine = container_engine.find()
    except HarnessError:
        engine = None  # no engine that could have a copy
    for image in images:
        if engine:
            engine.forget(image)
        image_store.remove(image)
    if arguments.json:
        print_json({"removed": [_image_data(image) for image in images]})
    else:
        print("\n".join(f"removed {image.name} ({image.about['key']}): {_size(image)}" for image in images))
    return 0


def _image_data(image) -> dict:
    return {key: image.about[key] for key in ("name", "key", "suite", "bytes", "built_at", "build_s")} | {
        "folder": image.folder,
        "is_current": image.is_current,
    }


def _size(image) -> str:
    return f"{image.about['bytes'] / 1e6:.0f} MB"

"""Interfaces of Grand Challenge: where an algorithm finds and leaves each image, below `/input` and `/output`.

A socket has a slug and a folder, `images/FOLDER`, with one file in it, whose name means nothing
(https://grand-challenge.org/documentation/interfaces/).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from plugins.exchanges import SIDECAR

if TYPE_CHECKING:
    from plugins.nifti_mapping import NiftiFolders, NiftiInput

INPUTS = "inputs.json"
"""In `/input`: which sockets there are."""
OUTPUT = "output.mha"
"""What the one image in a folder of `/output/images` is to the manifest, whatever the algorithm calls it."""
_IMAGE = re.compile(r"images/([A-Za-z0-9_-]+)/[A-Za-z0-9_.-]+\.mha", re.ASCII)
_SLUG = re.compile(r"[a-z0-9][a-z0-9-]*", re.ASCII)


def slug_of(image: NiftiInput) -> str:
    """What the interface calls the socket of an input."""
    match = _IMAGE.fullmatch(image.file)
    assert match is not None, "the manifest was checked"
    return image.socket or match[1]


def problem(mapping: NiftiFolders) -> tuple[str, str] | None:
    """The key of `[nifti]` that no algorithm of Grand Challenge can have, and what is wrong with it."""
    for image in mapping.inputs:
        if not _IMAGE.fullmatch(image.file):
            return "inputs", f"{image.file!r} is not the place of an input, such as 'images/ct/image.mha'"
        if not _SLUG.fullmatch(slug_of(image)):
            return "inputs", f"{slug_of(image)!r} is not a slug: give the socket's in socket"
    masks = [each.file for each in mapping.segments if each.file]
    made = [mapping.label_map, *masks, *(each.file for each in mapping.heatmaps)]
    for file in filter(None, made):
        if not _IMAGE.fullmatch(file) or not file.endswith(f"/{OUTPUT}"):
            return "labels" if file == mapping.label_map else "segments" if file in masks else "heatmaps", (
                f"{file!r} is not the place of an output, such as 'images/lesion-mask/{OUTPUT}'"
            )
    return None


def odd_parameter(names: Iterable[str]) -> str:
    """The first parameter whose name is not a slug, or that of a file which the node writes; "" where there is none."""
    taken = [each.removesuffix(".json") for each in (INPUTS, SIDECAR)]
    return next((name for name in names if name in taken or not _SLUG.fullmatch(name)), "")

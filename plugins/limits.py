"""What a result may hold at most: the one table that the node, the harness and docs/plugins.md use.

Each limit lies well above what an honest result has (200 nodules, the landmarks of a whole spine, a mask of 2,000
slices of 1,024 × 1,024 pixels) and well below what a reader, an archive or the node could not bear. The sizes of
masks and heat maps are not here: they are those of the images that the plugin was given.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

FINDINGS = 1_000
MEASUREMENTS_A_FINDING = 500
MEASUREMENTS = 5_000
"""Of all findings together."""
REGIONS_A_FINDING = 1_000
REGIONS = 4_000
"""Of all findings together."""
POINTS_A_REGION = 5_000
"""What an SR holds of points in the patient: Graphic Data has 65,534 bytes at most (PS3.5 7.1.2)."""
POINTS = 200_000
"""Of all regions together."""
SEGMENTS = 1_000
KEY_IMAGES = 100
PICTURES = 50
PICTURE_SIDE = 4_096
"""Rows or columns of one picture."""
PICTURE_PIXELS = 64 * 2**20
"""Of all pictures together."""
HEATMAPS = 20
DOCUMENTS = 5
DOCUMENT_BYTES = 32 * 2**20
"""Of one document."""
NOTES = 50
"""Items of `Result.quality`."""
TEXT = 4_000
"""Characters of one text; some fields have less."""
COMMENTS = 100_000
"""Characters of the comments of all findings together."""
FRAMES = 20_000
"""References to frames in one list; a whole-body scan has a few thousand."""
JSON_BYTES = 16 * 2**20
"""Of result.json, and of request.json."""
ARRAY_BYTES = 4 * 2**30
"""Of all arrays together."""
ARRAY_FILES = 256
OBJECTS = 1_000
"""DICOM objects of one result."""
OBJECT_BYTES = 2**30
"""Of one DICOM object."""
OBJECTS_BYTES = 4 * 2**30
"""Of all DICOM objects together."""
OBJECT_FOLDERS = 8
"""Folders below `out/` in the name of an object's file."""
FILES = 1_000
"""Entries of `out/` that are looked at."""

LISTS: Mapping[str, int] = MappingProxyType(
    {
        "Result.findings": FINDINGS,
        "Result.documents": DOCUMENTS,
        "Result.heatmaps": HEATMAPS,
        "Result.key_images": KEY_IMAGES,
        "Result.objects": OBJECTS,
        "Result.pictures": PICTURES,
        "Result.quality": NOTES,
        "Finding.measurements": MEASUREMENTS_A_FINDING,
        "Finding.regions": REGIONS_A_FINDING,
        "Finding.segments": SEGMENTS,
        "Segmentation.segments": SEGMENTS,
    }
)
"""Class and field → items of one list; of any other list: `FRAMES`."""

"""Whether two runs of a plugin on the same images say the same."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

import pydicom
from pydicom import DataElement, Dataset

from plugins import exchange, object_files

_OF_THE_RUN = frozenset({"UI", "DA", "TM", "DT"})
"""Value representations of what a program makes new each time: UIDs, and when it ran."""


def content_of(out: Path) -> dict[str, Counter[str]]:
    """What a kept result says, by the name of its file in `out/`: digests, those of DICOM objects under one name.

    Of its DICOM objects neither order nor names count, nor UIDs, dates and times, which programs make new each time.
    """
    found: dict[str, Counter[str]] = {}
    for path in sorted(each for each in out.rglob("*") if each.is_file()):
        name = path.relative_to(out).as_posix()
        if path.parent == out / object_files.FOLDER:
            found.setdefault(object_files.FOLDER, Counter())[_of_object(path)] += 1
        elif name == exchange.RESULT:
            found[name] = Counter([_of_result(path)])
        else:
            found[name] = Counter([_digest(path.read_bytes())])
    return found


def _of_result(path: Path) -> str:
    document = json.loads(path.read_bytes())
    document.pop("objects", None)
    return _digest(json.dumps(document, sort_keys=True).encode())


def _of_object(path: Path) -> str:
    dataset = pydicom.dcmread(path)
    dataset.walk(_without_what_is_of_the_run)
    return _digest(dataset.to_json(suppress_invalid_tags=True).encode())


def _without_what_is_of_the_run(dataset: Dataset, element: DataElement) -> None:
    if element.VR in _OF_THE_RUN:
        del dataset[element.tag]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()

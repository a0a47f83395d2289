"""DICOM objects that a plugin made itself, with highdicom or in any other way."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plugins import fields
from plugins.images import ContractError


@dataclass(frozen=True, slots=True)
class ReturnedObject:
    """A DICOM file (PS3.10) that goes to the PACS beside the report of the node.

    It belongs to the study that the plugin was given: the same Study Instance UID and the same patient as the images
    have that it got. The node checks that, and puts true UIDs in the place of pseudonyms.
    """

    file: Path
    """For an author a file that he has written, in `study.scratch` for one. As the node reads it, it is in `out/`."""

    def __post_init__(self) -> None:
        if not isinstance(self.file, str | os.PathLike):
            raise ContractError(f"ReturnedObject.file: {fields.shown(self.file)} is not the path of a file")
        object.__setattr__(self, "file", Path(self.file))

    @staticmethod
    def of(value: Any, name: str) -> ReturnedObject:
        """An object, or the path of its file."""
        if isinstance(value, ReturnedObject):
            return value
        if isinstance(value, str | os.PathLike):
            return ReturnedObject(Path(value))
        raise ContractError(f"{name}: {fields.shown(value)} is not a ReturnedObject(file); save it, and give the path")

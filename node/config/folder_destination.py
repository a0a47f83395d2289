"""A destination that is a folder: files for a program that watches it, or for people who carry them on."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import model_validator

from node.config import file_names
from node.config.destinations import Destination
from node.config.file_names import FileNames
from node.config.sections import Party, SitePath


class UnaskedDestination(Destination):
    """A destination that answers no questions: what it has of a study, and under which patient, is not known."""

    taken_up_by: ClassVar[frozenset[Party]] = frozenset({Party.PEERS})

    identity_check: Literal["none"] = "none"
    """none: it cannot be asked, so results go without a check of patient and order."""
    on_identity_change: Literal["hold"] = "hold"
    """It never says under which patient or order it has a study."""

    @model_validator(mode="after")
    def _waits_for_no_study(self) -> UnaskedDestination:
        if self.wait_for_study != Destination.model_fields["wait_for_study"].default:
            raise ValueError(
                f"wait_for_study: a destination of kind {self.kind} cannot be asked for a study; leave it out"
            )
        return self


class FolderDestination(UnaskedDestination):
    """A folder of this machine, or of a file server that is mounted."""

    kind: Literal["folder"] = "folder"
    """folder: DICOM files."""
    folder: SitePath
    """Where the files go. It is never made, so that a file server that is not mounted is noticed."""
    names: FileNames = file_names.DEFAULT
    """How folders and files in it are named."""

    @property
    def place(self) -> str:
        """As in `the folder /mnt/ai/results`."""
        return f"the folder {self.folder}"

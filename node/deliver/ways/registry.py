"""The way to each kind of destination, by the name of the kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from node.config.destinations import Destination
from node.deliver.ways import dicomweb, dimse, folder
from node.deliver.ways.archive import Archive

ArchiveOf = Callable[[Destination, str], Archive]
"""Makes the way to a destination of its kind; the text is the AE title of this node."""

WAYS: Mapping[str, ArchiveOf] = {"dicom": dimse.archive, "dicomweb": dicomweb.archive, "folder": folder.archive}
"""One module for each kind in `node.config.destination_kinds.DESTINATIONS`."""


def archive_of(destination: Destination, ae_title: str) -> Archive:
    """The way to this destination."""
    return WAYS[destination.kind](destination, ae_title)

"""Every kind of destination that there is."""

from __future__ import annotations

from node.config.destinations import DicomDestination
from node.config.folder_destination import FolderDestination
from node.config.sections import ByKind
from node.config.web_destinations import DicomWebDestination

DESTINATIONS = ByKind("dicom", (DicomDestination, DicomWebDestination, FolderDestination))
"""Every kind of destination, and the one that is meant where none is named."""

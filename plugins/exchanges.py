"""By which files a plugin and the node hand over images and results. Needs the standard library alone."""

from __future__ import annotations

from enum import StrEnum


class ExchangeForm(StrEnum):
    """`runtime.exchange` of a manifest."""

    PACSNODE = "pacsnode"
    """DICOM files and `request.json` in, `result.json` and arrays out (`plugins.exchange`)."""
    NIFTI = "nifti"
    """NIfTI files in; NIfTI files and tables out, which `[nifti]` gives a meaning (`plugins.nifti_mapping`)."""
    MERCURE = "mercure"
    """DICOM files and `task.json` in, DICOM files and `result.json` out, as modules of mercure have it."""

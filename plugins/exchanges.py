"""By which files a plugin and the node hand over images and results. Needs the standard library alone."""

from __future__ import annotations

from enum import StrEnum

SIDECAR = "pacsnode.json"
"""In `in/`, beside NIfTI and MetaImage files: parameters, and what the images are."""


class ExchangeForm(StrEnum):
    """`runtime.exchange` of a manifest."""

    PACSNODE = "pacsnode"
    """DICOM files and `request.json` in, `result.json` and arrays out (`plugins.exchange`)."""
    NIFTI = "nifti"
    """NIfTI files in; NIfTI files and tables out, which `[nifti]` gives a meaning (`plugins.nifti_mapping`)."""
    MERCURE = "mercure"
    """DICOM files and `task.json` in, DICOM files and `result.json` out, as modules of mercure have it."""
    MONAI = "monai"
    """DICOM files in, DICOM files out, as MONAI application packages have it."""
    MHUB = "mhub"
    """DICOM files in, DICOM files out, as models of MHub have it."""
    GRAND_CHALLENGE = "grand-challenge"
    """MetaImage files and `inputs.json` in; MetaImage and JSON files out, to which `[nifti]` gives a meaning."""

    @property
    def is_mapped(self) -> bool:
        """Whether `[nifti]` of the manifest says what its files mean."""
        return self in (ExchangeForm.NIFTI, ExchangeForm.GRAND_CHALLENGE)

    @property
    def is_of_containers(self) -> bool:
        """Whether only a container can have its files where they have to be."""
        return self not in (ExchangeForm.PACSNODE, ExchangeForm.NIFTI)

    @property
    def reads_parameters(self) -> bool:
        """Whether a program hears of the plugin's parameters."""
        return self not in (ExchangeForm.MONAI, ExchangeForm.MHUB)

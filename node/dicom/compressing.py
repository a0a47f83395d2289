"""The transfer syntax in which an object that we make is small and loses nothing.

Measured on result pages (text, drawings and slices of a CT, 8-bit RGB): JPEG-LS a fifth of the uncompressed size, JPEG
2000 a quarter at five times the time, RLE half. Segmentations of one bit and floating point maps have no compression
of their own (PS3.5 8.2 is about integers of whole bytes): their data set is deflated as a whole (PS3.5 A.5). Reports
and lists of images stay as they are: they are small, and every archive reads them.
"""

from __future__ import annotations

from pydicom import Dataset
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, JPEGLSLossless

COMPRESSED = (str(JPEGLSLossless), str(DeflatedExplicitVRLittleEndian))
"""What `compress` writes where it makes an object smaller."""


def compress(dataset: Dataset) -> UID:
    """Compress the pixels of an object of ours where they can be; returns the transfer syntax to write it in."""
    if "PixelData" in dataset and dataset.BitsAllocated == 8 and dataset.SamplesPerPixel == 3:
        dataset.compress(JPEGLSLossless, generate_instance_uid=False)
        return JPEGLSLossless
    if "PixelData" in dataset or "FloatPixelData" in dataset:
        return DeflatedExplicitVRLittleEndian
    return ExplicitVRLittleEndian

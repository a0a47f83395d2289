"""A document that the plugin made itself, as PDF."""

from __future__ import annotations

from dataclasses import dataclass

from plugins import fields
from plugins.images import ContractError, require
from plugins.limits import DOCUMENT_BYTES

_BEGIN, _END = b"%PDF-", b"%%EOF"


@dataclass(frozen=True, slots=True)
class PdfDocument:
    """A report of the plugin's own as PDF, and its title (≤ 128 characters).

    Destinations that ask for kind `pdf` get it as Encapsulated PDF, under the marking of the result. The node never
    renders it. It may hold no script, no action that starts anything, no form, no attached file and no password.
    """

    pdf: bytes
    title: str

    def __post_init__(self) -> None:
        if not isinstance(self.pdf, bytes | bytearray | memoryview):
            raise ContractError(f"PdfDocument.pdf: {fields.shown(self.pdf)} is not the bytes of a PDF file")
        object.__setattr__(self, "pdf", bytes(self.pdf))
        size = f"{len(self.pdf)} bytes, at most {DOCUMENT_BYTES // 2**20} MiB"
        require(len(self.pdf) <= DOCUMENT_BYTES, f"PdfDocument.pdf: {size}")
        require(self.pdf.startswith(_BEGIN), "PdfDocument.pdf: does not begin with %PDF-, so it is not a PDF file")
        whole = self.pdf.rstrip(b"\0\t\n\f\r ").endswith(_END)
        require(whole, "PdfDocument.pdf: does not end with %%EOF: a part of it is missing, or something is behind it")
        object.__setattr__(self, "title", fields.text(self.title, "PdfDocument.title", 128))

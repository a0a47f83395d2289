"""Why a result could not become DICOM."""

from __future__ import annotations

from node.errors import PermanentError


class NotEncodableError(PermanentError):
    """The result cannot be written for this patient and study; names the attribute (cases 36, 37, 38).

    Nothing is sent: an object with a guessed or garbled identity is worse than none.
    """

    def __init__(self, attribute: str, reason: str) -> None:
        super().__init__(attribute, reason)  # all of them: it is pickled on its way out of the encoder's process
        self.attribute = attribute
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.attribute}: {self.reason}"

"""What a plugin.toml of kind `dicom` says of the vendor's box that does the work: what it gets and sends back."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # it imports NumPy, which no command that only reads the configuration needs
    from plugins.manifest_table import ManifestTable

DEADLINE_SECONDS = 7200
"""For an answer, where plugin.toml does not say another time: a box has a queue of its own."""
QUIET_SECONDS = 60
_MEANINGLESS = ("network", "readable", "environment", "gpu", "resources", "memory_mb")
"""Keys of `[runtime]` that are about a process of this machine."""


class SendExtent(StrEnum):
    """What of a study a box gets."""

    CHOSEN = "chosen"
    """The series that the rule chooses."""
    STUDY = "study"
    """All images of the study, for a box that chooses itself."""


class AnswerKind(StrEnum):
    """A kind of DICOM object that a box sends."""

    SR = "sr"
    SC = "sc"
    SEG = "seg"
    PM = "pm"
    PR = "pr"
    KO = "ko"
    RTSTRUCT = "rtstruct"
    PDF = "pdf"
    IMAGE = "image"
    """Any other SOP class: images that it has processed."""


_STORAGE = "1.2.840.10008.5.1.4.1.1."
_KINDS = {
    "88.59": AnswerKind.KO,
    "88": AnswerKind.SR,
    "66": AnswerKind.SEG,
    "30": AnswerKind.PM,
    "11": AnswerKind.PR,
    "7": AnswerKind.SC,
    "481.3": AnswerKind.RTSTRUCT,
    "104.1": AnswerKind.PDF,
}
"""The end of the SOP Class UID, or where it begins (PS3.4 B.5), the longer ones first."""


@dataclass(frozen=True, slots=True)
class BoxUse:
    """How an algorithm uses its box."""

    box: str
    """The box, as the site's configuration calls it (`boxes`)."""
    send: SendExtent = SendExtent.CHOSEN
    expects: tuple[AnswerKind, ...] = ()
    """An answer is complete when each of these is there; where none is named, after the quiet time."""
    quiet_seconds: int = QUIET_SECONDS
    """Without another object of an answer."""


def kind_of(sop_class_uid: str) -> AnswerKind:
    """The kind of an object.

    >>> kind_of("1.2.840.10008.5.1.4.1.1.88.33")
    <AnswerKind.SR: 'sr'>
    """
    end = sop_class_uid.removeprefix(_STORAGE)
    found = (kind for begins, kind in _KINDS.items() if end == begins or end.startswith(f"{begins}."))
    return next(found, AnswerKind.IMAGE)


def read(table: ManifestTable) -> BoxUse:
    """The keys of `[runtime]` that kind dicom has; raises ManifestError."""
    for key in _MEANINGLESS:
        if key in table.values:
            raise table.error(key, "means nothing for kind dicom: the box is no program of this machine")
    use = BoxUse(
        box=table.take("box", str),
        send=table.member("send", SendExtent, table.take("send", str, SendExtent.CHOSEN)),
        expects=tuple(table.member("expects", AnswerKind, name) for name in table.texts("expects", ())),
        quiet_seconds=table.take("quiet_seconds", int, QUIET_SECONDS),
    )
    if use.quiet_seconds <= 0:
        raise table.error("quiet_seconds", "must be above zero")
    return use

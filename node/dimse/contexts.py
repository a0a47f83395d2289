"""Presentation contexts that this node accepts as an SCP: which abstract syntaxes, which transfer syntax.

For each presentation context proposed, the acceptor names one of the transfer syntaxes proposed
(PS3.8 9.3.3.2; PS3.5 10 leaves the choice to it). The sender proposes only what it can send, so any
choice among the lossless ones loses nothing. In order: the uncompressed ones that every reader has;
deflated; the lossless compressions; Big Endian last of them, because it is retired (PS3.5 2016b). A
lossy syntax is chosen only where the context has nothing else, so a sender that could give the
original pixels is never asked to compress; that it happened is a fact of the object. Whatever is
chosen, the data set is stored as it arrives.

JPIP (PS3.5 A.6) is refused: the pixels would stay at the sender, to be fetched over HTTP later. So
are SMPTE ST 2110 (live video, never stored) and syntaxes this list does not know: nobody downstream
could read them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from pydicom._uid_dict import UID_dictionary
from pydicom.uid import UID
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.service_class import ServiceClass, StorageServiceClass
from pynetdicom.sop_class import Verification, uid_to_service_class  # type: ignore[attr-defined] # made at run time

from node.dimse.association import CommitmentRoles
from node.dimse.commitment import PUSH_MODEL

_JPEG = "1.2.840.10008.1.2.4."
UNCOMPRESSED = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")
"""Explicit VR Little Endian, Implicit VR Little Endian."""
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
LOSSLESS = (
    *UNCOMPRESSED,
    DEFLATED,
    *(_JPEG + process for process in ("70", "57")),  # JPEG lossless
    _JPEG + "80",  # JPEG-LS lossless
    *(_JPEG + part for part in ("90", "92")),  # JPEG 2000 lossless
    *(_JPEG + kind for kind in ("201", "202")),  # HTJ2K lossless, with and without RPCL
    "1.2.840.10008.1.2.5",  # RLE
    "1.2.840.10008.1.2.1.98",  # encapsulated, uncompressed
    "1.2.840.10008.1.2.8.1",  # deflated frames
    _JPEG + "110",  # JPEG XL lossless
    *(_JPEG + process for process in ("58", "65", "66")),  # retired JPEG lossless processes
    BIG_ENDIAN,
)
"""Transfer syntaxes that lose nothing, in the order in which they are chosen."""
_VIDEO = tuple(f"{_JPEG}{profile}{form}" for profile in range(100, 107) for form in ("", ".1"))
LOSSY = (
    *(_JPEG + process for process in ("50", "51")),  # JPEG baseline, extended
    _JPEG + "81",  # JPEG-LS near-lossless
    *(_JPEG + part for part in ("91", "93")),  # JPEG 2000
    _JPEG + "203",  # HTJ2K
    *(_JPEG + kind for kind in ("111", "112")),  # JPEG XL: recompressed JPEG, and at will
    *(_JPEG + process for process in ("52", "53", "54", "55", "56", "59", "60", "61", "62", "63", "64")),  # retired
    *_VIDEO,  # MPEG-2, MPEG-4
    *(_JPEG + profile for profile in ("107", "108")),  # HEVC
)
"""Transfer syntaxes that may have lost something: chosen only where the context proposes nothing of LOSSLESS."""
ACCEPTED = LOSSLESS + LOSSY
_LOSSY = frozenset(LOSSY)
MAXIMUM_CONTEXTS = 128
"""Presentation contexts in one association: their IDs are the odd numbers up to 255 (PS3.8 9.3.2.2)."""


def is_lossy(transfer_syntax_uid: str) -> bool:
    """True where an object under this transfer syntax was accepted for want of a lossless one."""
    return transfer_syntax_uid in _LOSSY


@lru_cache(maxsize=1024)
def is_storage(abstract_syntax: str) -> bool:
    """True for the abstract syntaxes under which a C-STORE is taken.

    Every storage SOP class of patients' objects, retired and non-medical ones included, and every
    abstract syntax that the Standard's registry (PS3.6 A) does not know: private SOP classes and ones
    newer than this program. Not those that have no patient or study (hanging protocols, implant
    templates, defined procedures …): they could not be filed, so they are not accepted.
    """
    service = uid_to_service_class(abstract_syntax)
    if service is StorageServiceClass:
        return True
    if service is not ServiceClass:
        return False
    entry = UID_dictionary.get(abstract_syntax)
    if entry is None:
        return True
    name, kind = entry[0], entry[1]
    return kind == "SOP Class" and "Storage" in name and "Commitment" not in name and "Directory" not in name


@lru_cache(maxsize=1024)
def _supported(abstract_syntax: str) -> PresentationContext | None:
    """The context pynetdicom holds proposals against; cached, because building one checks 40 UIDs."""
    if abstract_syntax == Verification:
        return build_context(Verification, list(UNCOMPRESSED))
    if is_storage(abstract_syntax):
        return build_context(abstract_syntax, list(ACCEPTED))
    return None


def storage_commitment(roles: CommitmentRoles) -> PresentationContext | None:
    """The context for storage commitment in which the peer may have these roles; None where it has none.

    A peer that proposes no roles is the SCU (PS3.7 D.3.3.4), which is what most that ask for commitment do.
    """
    if not (roles.requests or roles.reports):
        return None
    context = build_context(PUSH_MODEL, list(UNCOMPRESSED))
    context.scu_role, context.scp_role = roles.requests, roles.reports
    return context


def supported_for(proposed: Sequence[PresentationContext]) -> list[PresentationContext]:
    """Supported contexts for what one association proposes, in pynetdicom's form.

    pynetdicom holds proposals against a fixed list; private SOP classes cannot be listed beforehand, so
    the list is made from the proposal. It names the first of its own transfer syntaxes that a context
    proposes, which is the order of ACCEPTED.
    """
    syntaxes = {str(context.abstract_syntax) for context in proposed}
    return [context for context in map(_supported, sorted(syntaxes)) if context is not None]


def one_context_each(pairs: Iterable[tuple[str, str]]) -> list[PresentationContext]:
    """Contexts to propose as an SCU: one for each (SOP class, transfer syntax), so that the acceptor has no
    choice but to take the files as they are, or not at all."""
    return [build_context(UID(sop_class), [UID(syntax)]) for sop_class, syntax in sorted(set(pairs))]

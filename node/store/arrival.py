"""How one SOP instance reached the node, kept in its own file's meta information (PS3.10 7.1).

Source AE Title (0002,0016) holds the calling AE title, Receiving AE Title (0002,0018) the called one, Source
Presentation Address (0002,0026) the peer, and Private Information (0002,0102) the rest, as JSON: a restart needs
nothing but the files.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from node.clock import from_text, to_text
from node.ourselves import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

if TYPE_CHECKING:
    from pydicom.dataset import FileMetaDataset

_PRIVATE_INFORMATION_CREATOR = IMPLEMENTATION_CLASS_UID
_PREAMBLE = b"\0" * 128 + b"DICM"


class NotOurFileError(ValueError):
    """A file in the data folder that this node did not write, or not to the end of its meta information."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """How one SOP instance reached the node."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    calling_ae_title: str
    called_ae_title: str
    peer_address: str
    association: str
    """Name of the association's file in `associations/`; it is locked while the association is open."""
    received_at: datetime
    origin: str = "received"
    """`received`: sent to us; `retrieved`: fetched by us, triggers nothing; `uploaded`: given to us by a person."""
    tls_subject: str = ""
    lossy_accepted: bool = False
    """The presentation context offered nothing lossless."""


def file_header(arrival: Arrival) -> bytes:
    """Preamble, prefix and file meta information for a dataset that follows as received.

    The preamble is zeroed, until it is sealed (`store.seal`): 128 bytes that a sender could fill with a program header
    (case 45).
    """
    rest = {
        "association": arrival.association,
        "received_at": to_text(arrival.received_at),
        "origin": arrival.origin,
        "tls_subject": arrival.tls_subject,
        "lossy_accepted": arrival.lossy_accepted,
    }
    meta = b"".join(
        (
            _element(0x0001, b"OB", b"\x00\x01"),
            _element(0x0002, b"UI", arrival.sop_class_uid.encode()),
            _element(0x0003, b"UI", arrival.sop_instance_uid.encode()),
            _element(0x0010, b"UI", arrival.transfer_syntax_uid.encode()),
            _element(0x0012, b"UI", IMPLEMENTATION_CLASS_UID.encode()),
            _element(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME.encode()),
            _element(0x0016, b"AE", arrival.calling_ae_title.encode("latin-1", "replace")),
            _element(0x0018, b"AE", arrival.called_ae_title.encode("latin-1", "replace")),
            _element(0x0026, b"UR", arrival.peer_address.encode()),
            _element(0x0100, b"UI", _PRIVATE_INFORMATION_CREATOR.encode()),
            _element(0x0102, b"OB", json.dumps(rest, separators=(",", ":"), sort_keys=True).encode(), b" "),
        )
    )
    return _PREAMBLE + _element(0x0000, b"UL", len(meta).to_bytes(4, "little")) + meta


def _element(number: int, vr: bytes, value: bytes, padding: bytes = b"") -> bytes:
    """One element (0002,`number`) in Explicit VR Little Endian (PS3.5 7.1.2).

    By hand, because the receiver does it for each object and pydicom needs a hundred times as long.
    """
    value += (padding or (b"\0" if vr == b"UI" else b" ")) * (len(value) % 2)
    length = b"\0\0" + len(value).to_bytes(4, "little") if vr in (b"OB", b"UR") else len(value).to_bytes(2, "little")
    return b"\x02\x00" + number.to_bytes(2, "little") + vr + length + value


def _header_length(file: BinaryIO) -> int:
    """Bytes before the dataset: preamble, prefix, the group length element and what it counts (PS3.10 7.1)."""
    file.seek(132)
    head = file.read(12)
    if head[:8] != b"\x02\x00\x00\x00UL\x04\x00":
        raise ValueError("its meta information does not begin with a group length")
    return 144 + int.from_bytes(head[8:12], "little")


def read_arrival(path: Path) -> tuple[Arrival, int]:
    """What the file's meta information says, and the offset in bytes at which the dataset begins.

    Raises OSError where the file cannot be read, NotOurFileError where it is not one that this node wrote.
    """
    from pydicom.filereader import read_file_meta_info  # it takes a while, and the supervisor never reads one

    try:
        with path.open("rb") as file:
            offset = _header_length(file)
        meta = read_file_meta_info(path)
        if meta.get("PrivateInformationCreatorUID") != _PRIVATE_INFORMATION_CREATOR:
            raise ValueError("its meta information is another program's")
        return _arrival(meta), offset
    except OSError:
        raise
    except Exception as error:  # pydicom fails in many ways on what is not a DICOM file
        raise NotOurFileError(f"{path.name}: not a file that this node wrote ({error})") from error


def _arrival(meta: FileMetaDataset) -> Arrival:
    rest = json.loads(bytes(meta.PrivateInformation))
    return Arrival(
        sop_class_uid=str(meta.MediaStorageSOPClassUID),
        sop_instance_uid=str(meta.MediaStorageSOPInstanceUID),
        transfer_syntax_uid=str(meta.TransferSyntaxUID),
        calling_ae_title=str(meta.get("SourceApplicationEntityTitle", "")),
        called_ae_title=str(meta.get("ReceivingApplicationEntityTitle", "")),
        peer_address=str(meta.get("SourcePresentationAddress", "")),
        association=rest["association"],
        received_at=from_text(rest["received_at"]),
        origin=rest["origin"],
        tls_subject=rest["tls_subject"],
        lossy_accepted=rest["lossy_accepted"],
    )

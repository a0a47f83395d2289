"""A stored image that is not what was received any more."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from node.ledger.attempts import AttemptFailureKind
from node.run.retry import FailJob, after
from node.store import intact
from node.store.arrival import Arrival, file_header
from node.store.intact import DamagedError
from tests.support.images.receipts import ct, encoded

SYNTAX = "1.2.840.10008.1.2.1"


def _stored(folder: Path) -> tuple[Path, str]:
    """A file as the receiver leaves it, and the digest of its data set."""
    content = encoded(ct(1))
    arrival = Arrival("1.2", "1.3", SYNTAX, "CT1", "PACSNODE", "127.0.0.1", "a", datetime(2026, 3, 1, tzinfo=UTC))
    path = folder / "image.dcm"
    path.write_bytes(file_header(arrival) + content)
    return path, hashlib.sha256(content).hexdigest()


def test_finding_n5_a_verified_copy_is_the_file_byte_for_byte(tmp_path: Path) -> None:
    """Meta information and data set, in one pass."""
    path, digest = _stored(tmp_path)
    intact.copy(path, tmp_path / "copy", digest, SYNTAX)
    assert (tmp_path / "copy").read_bytes() == path.read_bytes()


def test_finding_n5_any_flipped_bit_that_a_reader_would_see_is_found(tmp_path: Path) -> None:
    """Bits of the data set, of the transfer syntax, and of what says where the data set begins."""
    path, digest = _stored(tmp_path)
    content = path.read_bytes()
    begins = len(content) - len(encoded(ct(1)))
    places = [begins, begins + 1, len(content) - 1, content.index(SYNTAX.encode()) + 18, 128, 140]
    for place in [*places, *range(begins, len(content), 997)]:
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :])
        with pytest.raises(DamagedError, match=str(path)):
            intact.verify(path, digest, SYNTAX)


def test_finding_n5_damage_is_not_tried_again() -> None:
    """Trying again does not mend a disk, and the plugin is not to blame."""
    assert after(AttemptFailureKind.DAMAGED, 1, 20, 0) == FailJob()

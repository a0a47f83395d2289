"""What pseudonyms are derived from: the secret of a data folder and the patient. Nothing is kept but the secret.

The same secret and the same patient give the same pseudonyms at each attempt, so no table of pseudonyms is needed.
"""

from __future__ import annotations

import hmac
import uuid
from dataclasses import dataclass
from functools import lru_cache

_LEAST_DAYS, _DAYS = 366, 3285


@dataclass(frozen=True, slots=True)
class Key:
    """Pseudonyms for one patient."""

    secret: bytes
    patient: str
    """The pseudonym of the Patient ID."""
    days: int
    """How far the patient's dates are moved; below zero: back."""

    @staticmethod
    def of(secret: bytes, patient_id: str, issuer: str) -> Key:
        """The key for a patient, who is known by the ID and who issued it."""
        who = f"{issuer}\n{patient_id}"
        days = _LEAST_DAYS + int.from_bytes(_digest(secret, "days", who)[:8]) % _DAYS
        return Key(secret, _digest(secret, "patient", who).hex()[:16].upper(), -days)

    def uid(self, uid: str) -> str:
        """The pseudonym of a UID, the same for all patients: a UUID-derived UID (PS3.5 B.2).

        UIDs of the Standard, such as well-known frames of reference, stay.
        """
        return _uid(self.secret, uid)


@lru_cache(maxsize=20_000)
def _uid(secret: bytes, uid: str) -> str:
    from pydicom.uid import UID  # all of pydicom: a command looks at a plugin without it

    plain = uid.strip().strip("\0").strip()  # what a sender puts around a UID is no part of it
    if not plain or UID(plain).name != plain:
        return plain
    return f"2.25.{uuid.UUID(bytes=_digest(secret, 'uid', plain)[:16], version=4).int}"


def _digest(secret: bytes, purpose: str, text: str) -> bytes:
    return hmac.digest(secret, f"{purpose}\n{text}".encode(), "sha256")

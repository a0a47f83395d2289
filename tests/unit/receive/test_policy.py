"""Who may open an association."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from node.config.models import Configuration
from node.dimse.association import AssociationRequest
from node.receive.policy import Policy


def policy(**node: Any) -> Policy:
    return Policy.of(
        Configuration.model_validate(
            {
                "node": {"ae_title": "PACSNODE", "also_called": ("RESEARCH",), "time_zone": "UTC", **node},
                "modalities": {
                    "ct1": {"ae_title": "CT1", "addresses": ("10.0.0.0/24", "fd00::/8")},
                    "ct2": {"ae_title": "CT1", "addresses": ("10.0.1.5/32",)},
                    "mr": {"ae_title": "MR"},
                    "us": {"ae_title": "US", "certificate": {"subject": "commonName=us"}},
                    "xa": {
                        "ae_title": "XA",
                        "certificate": {"subject": "commonName=xa", "fingerprint": "AB:" * 31 + "AB"},
                    },
                    "shared-a": {"ae_title": "SHARED", "addresses": ("10.0.0.1/32",)},
                    "shared-b": {"ae_title": "SHARED"},
                    "pacs-forwards": {"ae_title": "PACS", "addresses": ("10.9.9.9/32",)},
                },
                "destinations": {
                    "pacs": {"ae_title": "PACS", "host": "pacs.hospital", "port": 104},
                    "viewer": {"ae_title": "VIEWER", "host": "viewer.hospital", "port": 104},
                },
            }
        )
    )


def request(calling: str, called: str = "PACSNODE", address: str = "10.0.0.1", length: int = 0) -> AssociationRequest:
    return AssociationRequest(called, calling, address, "", length)


def shown(calling: str, subject: str, fingerprint: str = "ff" * 32) -> AssociationRequest:
    return replace(request(calling), tls_subject=subject, tls_fingerprint=fingerprint)


ACCEPTED = None


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (request("CT1"), ACCEPTED),
        (request("CT1", called="RESEARCH"), ACCEPTED),
        (request("MR", address="192.0.2.1"), ACCEPTED),
        (request("VIEWER", address="192.0.2.1"), ACCEPTED),
        (request("CT1", address="10.0.1.5"), ACCEPTED),
        (request("CT1", address="::ffff:10.0.0.7"), ACCEPTED),
        (request("CT1", address="fd00::1%eth0"), ACCEPTED),
        (request("SHARED", address="192.0.2.1"), ACCEPTED),
        (request("CT1", called="OTHER"), (1, 1, 7)),
        (request("CT1", called="pacsnode"), (1, 1, 7)),
        (request("NOBODY", called="OTHER"), (1, 1, 7)),
        (request("NOBODY"), (1, 1, 3)),
        (request("ct1"), (1, 1, 3)),
        (request("CT1", address="192.0.2.1"), (1, 1, 3)),
        (request("PACS", address="10.0.0.1"), (1, 1, 3)),
        (request("CT1", length=7), (1, 1, 1)),
        (request("CT1", length=1), (1, 1, 1)),
        (request("CT1", length=8), ACCEPTED),
        (shown("US", "commonName=us"), ACCEPTED),
        (shown("US", "commonName=xa"), (1, 1, 3)),
        (request("US"), (1, 1, 3)),
        (shown("US", "commonName=us", ""), (1, 1, 3)),
        (shown("XA", "commonName=xa", "ab" * 32), ACCEPTED),
        (shown("XA", "commonName=xa", "ac" * 32), (1, 1, 3)),
        (shown("XA", "commonName=us", "ab" * 32), (1, 1, 3)),
        (shown("MR", "commonName=anything"), ACCEPTED),
    ],
)
def test_fault_15_22_23_24_a_request_is_decided(asked: AssociationRequest, code: tuple[int, int, int] | None) -> None:
    """Called AE title, calling AE title, its address, a maximum length that holds a message."""
    rejection = policy().refuse(asked, open_associations=0)
    assert (rejection.code if rejection else None) == code


def test_accept_any_lets_unknown_callers_in_but_not_known_ones_from_elsewhere() -> None:
    """An AE title with an address list stays bound to it."""
    lax = policy(accept="any")
    assert lax.refuse(request("NOBODY"), 0) is None
    rejection = lax.refuse(request("CT1", address="192.0.2.1"), 0)
    assert rejection is not None
    assert rejection.code == (1, 1, 3)


def test_fault_17_above_the_limit_the_rejection_is_transient() -> None:
    """Result 2, source 3, reason 2: try again later."""
    strict = policy(maximum_associations=3)
    assert strict.refuse(request("CT1"), open_associations=2) is None
    rejection = strict.refuse(request("CT1"), open_associations=3)
    assert rejection is not None
    assert rejection.code == (2, 3, 2)

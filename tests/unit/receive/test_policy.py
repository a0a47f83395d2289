"""Who may open an association."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from node.config.models import Configuration
from node.dimse.association import AssociationRequest
from node.receive.policy import Policy

HOSTS = {"viewer.hospital": ["10.5.0.1", "fd00::5"], "pacs.hospital": ["10.0.0.1"], "lost.hospital": []}


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
                    "viewer": {
                        "ae_title": "VIEWER",
                        "host": "viewer.hospital",
                        "port": 104,
                        "also_from": ("10.6.0.0/16",),
                    },
                    "lost": {
                        "ae_title": "LOST",
                        "host": "lost.hospital",
                        "port": 104,
                        "also_from": ("10.6.0.0/16",),
                    },
                },
            }
        ),
        addresses_of=lambda host: frozenset(map(ip_address, HOSTS[host])),
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
        (request("VIEWER", address="10.5.0.1"), ACCEPTED),
        (request("VIEWER", address="10.6.7.8"), ACCEPTED),
        (request("VIEWER", address="192.0.2.1"), (1, 1, 3)),
        (request("LOST", address="10.6.7.8"), ACCEPTED),
        (request("LOST", address="10.5.0.1"), (2, 3, 1)),
        (request("PACS", address="10.9.9.9"), ACCEPTED),
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


def test_finding_a8_a_destination_answers_from_its_host_alone() -> None:
    """Its AE title from elsewhere is refused with its own words; an entry under modalities counts alone (PACS)."""
    refused = policy().refuse(request("VIEWER", address="192.0.2.1"), 0)
    assert refused is not None
    assert "not its host's" in refused.reason
    assert policy().refuse(request("VIEWER", address="fd00::5"), 0) is None
    assert policy().refuse(request("PACS", address="10.0.0.1"), 0) is not None
    assert policy(accept="any").refuse(request("VIEWER", address="192.0.2.1"), 0) is None


@pytest.mark.parametrize(("most", "share"), [(1, 1), (4, 4), (5, 4), (50, 40), (500, 400)])
def test_finding_a7_a_caller_has_four_fifths_of_the_places_at_most(most: int, share: int) -> None:
    """So that one that holds all it can get never keeps the others out."""
    limited = policy(maximum_associations=most)
    assert limited.refuse(request("MR"), share - 1, share - 1) is None
    refused = limited.refuse(request("MR"), share, share)
    assert refused is not None
    assert refused.code == (2, 3, 2)
    if share < most:
        assert limited.refuse(request("CT1"), share, 0) is None


@pytest.mark.parametrize(("certificates", "refused"), [("required", True), ("optional", False), ("none", False)])
def test_finding_a8_a_destination_shows_a_certificate_where_they_are_required(certificates: str, refused: bool) -> None:
    """On the plain port its AE title is refused; with a certificate, and where it is a modality too, it is not."""
    tls = {"port": 2762, "certificate": "c.pem", "key": "k.pem", "authorities": "a.pem"}
    made = policy(listen={"tls": {**tls, "client_certificates": certificates}})
    found = made.refuse(request("VIEWER", address="10.5.0.1"), 0)
    assert (found is not None) is refused
    assert found is None or found.code == (1, 1, 3)
    assert found is None or "without a certificate" in found.reason
    proven = replace(request("VIEWER", address="10.5.0.1"), tls_subject="commonName=v", tls_fingerprint="ff" * 32)
    assert made.refuse(proven, 0) is None
    assert made.refuse(request("PACS", address="10.9.9.9"), 0) is None, "it is a modality too"


@pytest.mark.parametrize(
    ("calling", "address", "speaks"),
    [
        ("VIEWER", "10.5.0.1", True),
        ("VIEWER", "10.6.1.1", True),
        ("VIEWER", "10.7.0.1", False),
        ("LOST", "10.7.0.1", False),
        ("NOBODY", "10.5.0.1", False),
        ("PACS", "10.9.9.9", True),
    ],
)
def test_finding_a8_who_speaks_for_a_destination_where_anybody_may_call(
    calling: str, address: str, speaks: bool
) -> None:
    """A report on storage commitment counts from the destination's own hosts; an entry under modalities counts more."""
    assert policy(accept="any").speaks_for_destination(request(calling, address=address)) is speaks


@pytest.mark.parametrize("accept", ["known", "any"])
def test_a_box_answers_from_its_host_alone_and_to_what_it_was_called_by(accept: str) -> None:
    """Also where anybody may call: what comes under its AE title is taken for its answer."""
    box = {"ae_title": "CADBOX", "host": "10.0.0.20", "port": 104, "calling_ae_title": "LICENSED"}
    silent = {"ae_title": "OTHER", "host": "10.0.0.21", "port": 104, "answers": "elsewhere"}
    node = {"time_zone": "UTC", "accept": accept}
    known = Configuration.model_validate({"node": node, "boxes": {"cad": box, "other": silent}})
    asked = Policy.of(known, lambda host: frozenset({ip_address(host)}))
    assert asked.refuse(request("CADBOX", "LICENSED", "10.0.0.20"), 0) is None
    refused = asked.refuse(request("CADBOX", "LICENSED", "10.0.0.66"), 0)
    assert refused is not None
    assert refused.code == (1, 1, 3)
    assert (asked.refuse(request("OTHER", address="10.0.0.21"), 0) is None) == (accept == "any")

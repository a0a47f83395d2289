"""Who calls, as `status` says it: refused callers with the line to enter, crowds, destinations from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from node.clock import SystemClock
from node.config.loading import load
from node.config.models import Configuration
from node.desk import callers, overview, site
from node.ledger import refused_callers
from node.ledger.database import Ledger
from node.store.callers import RefusedCaller
from node.store.resolved import ResolvedHost


def configured(**node: Any) -> Configuration:
    """One modality, one destination; twenty associations."""
    return Configuration.model_validate(
        {
            "node": {"ae_title": "PACSNODE", "time_zone": "Asia/Seoul", "maximum_associations": 20, **node},
            "modalities": {"ct": {"ae_title": "CT1", "addresses": ["10.0.0.5/32"]}},
            "destinations": {
                "pacs": {"ae_title": "PACS", "host": "127.0.0.1", "port": 104, "also_from": ["10.6.0.0/16"]}
            },
        }
    )


def test_finding_a7_a_caller_that_has_all_it_may_have_is_named() -> None:
    """From four fifths of the places on; with how many it has, and the key that sets them."""
    (text,) = callers.crowds({("CT1", "10.0.0.5"): 16, ("MR", "10.0.0.6"): 15}, configured())
    assert text.startswith("CT1 at 10.0.0.5 has 16 of 20 associations open, all that one caller may have")
    assert "node.maximum_associations" in text


@pytest.mark.parametrize(
    ("caller", "accept", "named"),
    [
        (("PACS", "10.7.0.1"), "known", True),
        (("PACS", "10.6.0.1"), "known", False),
        (("PACS", "127.0.0.1"), "known", False),
        (("CT1", "10.7.0.1"), "known", False),
        (("PACS", "10.7.0.1"), "any", False),
    ],
)
def test_finding_a8_a_destination_that_sent_from_elsewhere_is_named_with_the_line_to_enter(
    caller: tuple[str, str], accept: str, named: bool
) -> None:
    """Neither from its host nor `also_from`; a modality is bound by its own entry, and `accept: any` binds nobody."""
    found = list(callers.from_elsewhere([caller], configured(accept=accept), {}))
    assert bool(found) is named
    assert all("destinations.pacs.also_from: [10.6.0.0/16, 10.7.0.1]" in each for each in found)


def named_host() -> Configuration:
    """The destination has a name."""
    plain = configured().model_dump()
    plain["destinations"]["pacs"]["host"] = "pacs.example"
    return Configuration.model_validate(plain)


def test_finding_a8_a_host_whose_name_does_not_resolve_is_named() -> None:
    """With the address that is used meanwhile; where there is none, its calls are refused, which is an alert."""
    since = SystemClock().now()
    [(severity, text)] = callers.unresolved(named_host(), {"pacs.example": ResolvedHost(("10.0.0.9",), since)}, since)
    assert (severity, "may still call from its last known address (10.0.0.9)" in text) == ("warning", True)
    [(severity, text)] = callers.unresolved(named_host(), {"pacs.example": ResolvedHost((), since)}, since)
    assert (severity, "PACS is refused" in text) == ("alert", True)
    assert not list(callers.unresolved(named_host(), {"pacs.example": ResolvedHost(("10.0.0.9",))}, since))


def test_finding_a8_who_sent_from_elsewhere_is_found_without_a_name_server() -> None:
    """By the addresses that receivers found; nothing is said of a name that they do not know yet."""
    caller = ("PACS", "10.7.0.1")
    assert list(callers.from_elsewhere([caller], named_host(), {})) == []
    assert list(callers.from_elsewhere([caller], named_host(), {"pacs.example": ResolvedHost(("10.7.0.1",))})) == []
    assert len(list(callers.from_elsewhere([caller], named_host(), {"pacs.example": ResolvedHost(("10.0.0.9",))}))) == 1


@pytest.mark.parametrize(
    ("title", "called", "reason", "line"),
    [
        ("NEW", "PACSNODE", "unknown", "modalities: {new: {ae_title: NEW, addresses: [10.7.0.1]}}"),
        ("CT1", "PACSNODE", "address", "modalities.ct.addresses: [10.0.0.5/32, 10.7.0.1]"),
        ("CT1", "PACSNODE", "no certificate", "modalities.ct.certificate: not what it showed"),
        ("PACS", "PACSNODE", "not its host's", "destinations.pacs.also_from: [10.6.0.0/16, 10.7.0.1]"),
        (
            "PACS",
            "PACSNODE",
            "without a certificate",
            "there, to call the TLS port with a certificate; or modalities: {pacs: {ae_title: PACS, "
            "addresses: [10.7.0.1]}}",
        ),
        ("", "", "shows no certificate", "there, TLS as in node.listen.tls"),
        (
            "",
            "",
            "shows a certificate that is refused: certificate has expired (commonName=CT1)",
            "there, another certificate",
        ),
        (
            "",
            "",
            "shows a certificate that is refused: no authority that is trusted signed it (commonName=CT1)",
            "node.listen.tls.authorities: the authority that signed it, if that is to be trusted",
        ),
        (
            "",
            "",
            "shows a certificate that is refused: the list of revoked certificates has ended: fetch a new one",
            "node.listen.tls.revoked: a list of its authority that is good",
        ),
        (
            "",
            "",
            "does not trust our certificate",
            "there, our authority; or node.listen.tls.certificate: one that it trusts",
        ),
        ("CT1", "NODE", "called", "there, that we are PACSNODE; or node.also_called: [NODE]"),
    ],
)
def test_finding_o3_a_refused_caller_comes_with_the_line_to_enter(
    title: str, called: str, reason: str, line: str
) -> None:
    """For an unknown sender, one from another address, one without a certificate, one that calls us by another name."""
    refused = RefusedCaller(title, called, "10.7.0.1", reason, 3, SystemClock().now())
    assert callers.to_enter(refused, configured()) == line


def test_finding_o3_status_has_the_refused_callers_of_the_last_day(ledger: Ledger, config: Path) -> None:
    """What a receiver has counted is added up, the latest first."""
    now = SystemClock().now()
    with ledger.transaction() as database:
        for times in (2, 3):
            refused_callers.add(database, now, [RefusedCaller("NEW", "PACSNODE", "10.7.0.1", "unknown", times, now)])
    (found,) = overview.look(ledger, load(config), site.standing(config)).attention.refused
    assert (found[0].calling_ae_title, found[0].times) == ("NEW", 5)
    assert found[1] == "modalities: {new: {ae_title: NEW, addresses: [10.7.0.1]}}"

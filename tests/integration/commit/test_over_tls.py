"""Reports of storage commitment over TLS: to who shows the right certificate, and to nobody else."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.ledger.event_kinds import EventKind, Severity
from node.ledger.events import Event
from node.ledger.rows import one
from plugins.phantoms import chest_series
from plugins.phantoms.chest import Chest
from tests.support import history
from tests.support.dimse.certificates import SERVER_NAME, Certificates
from tests.support.dimse.commitment import Requester
from tests.support.sites.site import Site
from tests.support.wait import until

WAITS = "commitment.waits"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return chest_series.write_series(Chest(size=32, slice_mm=69.0), tmp_path_factory.mktemp("ct"))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """`server` is a modality's, `ct1` the node's."""
    made = Certificates.made_in(tmp_path_factory.mktemp("certificates"))
    made.issue("impostor", by="stranger", extra=["-extensions", "server"])
    return made


def server(certificates: Certificates, name: str = "server", *, asks_for_one: bool = False) -> ssl.SSLContext:
    """How a modality takes reports."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificates.pair(name))
    if asks_for_one:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(certificates.folder / "authority.pem")
    return context


@pytest.fixture(scope="module")
def open_to_all(certificates: Certificates) -> Iterator[Requester]:
    with Requester("CT1", tls=server(certificates)) as asking:
        yield asking


@pytest.fixture(scope="module")
def strict(certificates: Certificates) -> Iterator[Requester]:
    """Takes reports only from who shows a certificate that its authority has signed."""
    with Requester("CT2", tls=server(certificates, asks_for_one=True)) as asking:
        yield asking


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates, open_to_all: Requester, strict: Requester
) -> Iterator[Site]:
    """It has no certificate to show to CT2, which asks for one."""
    trust = {"authorities": str(certificates.folder / "authority.pem"), "server_name": SERVER_NAME}
    modalities = {"ct1": open_to_all.settings(tls=trust), "ct2": strict.settings(tls=trust)}
    with Site(tmp_path_factory.mktemp("site") / "node", {}, [], modalities=modalities) as running:
        yield running


def ask(site: Site, requester: Requester, files: list[Path]) -> str:
    """Store, ask, and be gone before the report can come."""
    with requester.association(site.port, takes_reports=False) as association:
        return requester.ask(association, requester.send(association, files))


def waits(site: Site, transaction: str, why: str = "") -> list[Event]:
    """What the ledger says of reports on this request that could not be made, for this reason, the oldest first."""
    row = one(site.ledger.database, "SELECT id FROM commitments WHERE transaction_uid=?", [transaction])
    told = [each for each in reversed(history.latest(site.ledger.database, 500)) if each.kind == WAITS]
    return [each for each in told if row and each.detail["commitment"] == row["id"] and why in each.detail["error"]]


def test_reported_over_tls(site: Site, open_to_all: Requester, files: list[Path]) -> None:
    """To a modality that shows the certificate of its name, signed by the authority that is trusted."""
    transaction = ask(site, open_to_all, files)
    (report,) = until(lambda: open_to_all.of(transaction), what="the report")
    assert (report.how, report.calling, report.event_type, len(report.committed)) == ("new", "PACSNODE", 1, len(files))


def test_an_impostor_is_told_nothing_and_the_modality_is_once_it_is_back(
    site: Site, open_to_all: Requester, certificates: Certificates, files: list[Path]
) -> None:
    """A certificate of another authority: refused, which is recorded with a warning, and the report waits for the right
    one."""
    open_to_all.change_to(server(certificates, "impostor"))
    transaction = ask(site, open_to_all, files[:1])
    why = "shows a certificate that is not accepted: no authority that is trusted signed it"
    [first, *_] = until(lambda: waits(site, transaction, why), what="the refusal to be recorded")
    assert first.severity is Severity.WARNING
    assert open_to_all.of(transaction) == []
    open_to_all.change_to(server(certificates))
    (report,) = until(lambda: open_to_all.of(transaction), what="the report")
    assert (report.how, report.event_type, len(report.committed)) == ("new", 1, 1)


def test_a_certificate_that_is_asked_for_is_shown_after_a_reload(
    site: Site, strict: Requester, certificates: Certificates, files: list[Path]
) -> None:
    """Without one nothing is told, and the report waits; once it stands in the file, it is made."""
    transaction = ask(site, strict, files[:1])
    until(lambda: waits(site, transaction, "does it ask for a certificate"), what="the refusal to be recorded")
    assert strict.of(transaction) == []
    content = json.loads(site.config.read_text())
    tls = content["modalities"]["ct2"]["storage_commitment"]["tls"]
    tls["certificate"], tls["key"] = map(str, certificates.pair("ct1"))
    part = site.config.with_suffix(".part")
    part.write_text(json.dumps(content))
    part.rename(site.config)
    until(lambda: history.of_kind(site.ledger.database, EventKind.CONFIGURATION_IN_FORCE), what="it to be in force")
    (report,) = until(lambda: strict.of(transaction), what="the report")
    assert (report.how, report.event_type, len(report.committed)) == ("new", 1, 1)

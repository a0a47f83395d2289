"""Storage commitment as modalities ask for it: pynetdicom and Orthanc, against a whole node."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from plugins import phantom_series
from plugins.phantom import Chest
from tests.support.commitment import Requester
from tests.support.site import Site
from tests.support.wait import until


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return phantom_series.write_series(Chest(size=32, slice_mm=46.0), tmp_path_factory.mktemp("ct"))


@pytest.fixture(scope="module")
def requester() -> Iterator[Requester]:
    with Requester() as asking:
        yield asking


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, requester: Requester) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site") / "node"
    with Site(folder, {}, [], modalities={"ct1": requester.settings()}) as running:
        yield running


def test_reported_on_the_same_association_while_it_lives(site: Site, requester: Requester, files: list[Path]) -> None:
    """Asked right behind the last image, and answered for all of them on the association that is still open."""
    with requester.association(site.port) as association:
        references = requester.send(association, files)
        transaction = requester.ask(association, references)
        (report,) = until(lambda: requester.of(transaction), 20, "the report")
    assert (report.how, report.event_type) == ("same", 1)
    assert report.committed == {uid for _, uid in references}
    assert report.failed == {}


def test_reported_on_a_new_association_once_the_first_is_released(
    site: Site, requester: Requester, files: list[Path]
) -> None:
    """Released at once: the node calls back, as the AE that was called and as SCP; what never came fails."""
    with requester.association(site.port) as association:
        references = requester.send(association, files[:1])
        transaction = requester.ask(association, [*references, (references[0][0], "1.2.3.4.5")])
    (report,) = until(lambda: requester.of(transaction), 20, "the report")
    assert (report.how, report.calling, report.event_type) == ("new", "PACSNODE", 2)
    assert report.committed == {references[0][1]}
    assert report.failed == {"1.2.3.4.5": 0x0112}

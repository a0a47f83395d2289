"""Storage commitment that others ask us for, and that we ask destinations for: off unless somebody says so."""

from __future__ import annotations

from datetime import timedelta

import pytest

from node.config.loading import load
from tests.support.dimse.certificates import signed_by_itself
from tests.support.sites.configurations import SITE, Write, told

CIRCLE = '"pacs" is the one who asks: each would delete because the other keeps'
WHOLE = "host: 10.0.0.4, port: 104"


def with_commitment(asks: str, ae_title: str = "CT1") -> str:
    return SITE + f"modalities:\n  ct1:\n    ae_title: {ae_title}\n    storage_commitment: {{{asks}}}\n"


def test_off_unless_it_is_given(write: Write) -> None:
    """A sender without the section may not ask."""
    assert load(write(SITE + "modalities:\n  ct1: {ae_title: CT1}\n")).modalities["ct1"].storage_commitment is None


def test_what_is_not_said_has_a_default(write: Write) -> None:
    """A day for the archive, a week for the report."""
    asking = load(write(with_commitment(WHOLE + ", commit_through: pacs"))).modalities["ct1"].storage_commitment
    assert asking is not None
    assert (asking.commit_through, asking.wait_for_archive) == ("pacs", timedelta(hours=24))
    assert asking.retry.give_up_after == timedelta(days=7)


@pytest.mark.parametrize(
    ("asks", "ae_title", "message"),
    [
        ("port: 104", "CT1", 'the key "host" is missing'),
        ("host: 10.0.0.4", "CT1", 'the key "port" is missing'),
        (WHOLE + ", commit_through: pcas", "CT1", 'there is no destination "pcas" → pacs'),
        (
            WHOLE + ", commit_through: pacs",
            "PACS",
            '"pacs" is the one who asks: each would delete because the other keeps',
        ),
    ],
)
def test_what_could_not_work_is_refused_with_its_place(write: Write, asks: str, ae_title: str, message: str) -> None:
    """No address to report to, an archive that is unknown, an archive that asks for its own commitment."""
    ((line, path, said),) = told(write(with_commitment(asks, ae_title)))
    assert said == message
    assert path.startswith("modalities.ct1.storage_commitment")
    assert line > 1


def test_the_files_of_tls_are_looked_for_beside_the_configuration(write: Write) -> None:
    """As those of a destination."""
    path = write(with_commitment(WHOLE + ", tls: {authorities: a.pem}"))
    assert told(path)[0][1] == "modalities.ct1.storage_commitment.tls.authorities"
    signed_by_itself(path.parent, "a")
    asking = load(path).modalities["ct1"].storage_commitment
    assert asking is not None
    assert asking.tls is not None
    assert asking.tls.credentials("ct1.example").authorities == path.parent / "a.pem"


def with_destination(keys: str) -> str:
    return SITE.replace("destinations:\n", f"destinations:\n  other: {{ae_title: OTHER, host: h, port: 104{keys}}}\n")


def test_destinations_are_not_asked_unless_the_site_wants_it(write: Write) -> None:
    """A day until an alert, where it does."""
    assert load(write(with_destination(""))).destinations["other"].time_to_commit is None
    for how in ("try", "require"):
        asked = load(write(with_destination(f", commitment: {how}"))).destinations["other"]
        assert asked.time_to_commit == timedelta(hours=24)
    asked = load(write(with_destination(", commitment: require, commit_within: 2h"))).destinations["other"]
    assert asked.time_to_commit == timedelta(hours=2)
    assert load(write(with_destination(", commitment: off"))).destinations["other"].time_to_commit is None


@pytest.mark.parametrize(
    ("keys", "path", "message"),
    [
        (", commitment: requires", "destinations.other.commitment", "require"),
        (", commitment: true", "destinations.other.commitment", "require"),
        (", commit_within: soon", "destinations.other.commit_within", "soon"),
    ],
)
def test_another_word_is_refused_with_its_place(write: Write, keys: str, path: str, message: str) -> None:
    """And the words that there are."""
    ((line, where, said),) = told(write(with_destination(keys)))
    assert (where, line > 1) == (path, True)
    assert message in said

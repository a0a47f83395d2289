"""Sections say who takes up a change and what is a path; kinds are told apart by `kind`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

import pytest
from pydantic import TypeAdapter, ValidationError

from node.config import schema, validation
from node.config.destination_kinds import DESTINATIONS
from node.config.destinations import Destination, DicomDestination
from node.config.encoding import EncodingProfile
from node.config.from_values import validated
from node.config.sections import ByKind, Party, Section, SitePath, TakenUpBy, changes, parties_of, paths
from node.config.source import Document
from node.deliver.ways.registry import WAYS
from tests.support.sites.configurations import Write, told

PACS = {"ae_title": "PACS", "host": "10.0.0.9", "port": 104}
PACS_YAML = """\
node: {time_zone: UTC}
destinations:
  pacs:
    %s
    ae_title: PACS
    host: 10.0.0.9
    port: 104
"""


class ShelfDestination(Destination):
    """A second kind."""

    kind: Literal["shelf"] = "shelf"
    folder: SitePath


class Site(Section):
    """A configuration that knows both kinds."""

    destinations: dict[str, Annotated[Destination, ByKind("dicom", (DicomDestination, ShelfDestination))]]


def test_a_section_that_says_nothing_of_who_takes_it_up_is_refused_at_import() -> None:
    """A reload would not know whom to ask."""
    with pytest.raises(TypeError, match=r"Forgetful\.port: say who takes up a change of it"):

        class Forgetful(Section):
            port: int = 1


def test_a_key_of_its_own_counts_more_than_its_section() -> None:
    """Nobody is a party, too: what is used up when the file is checked."""

    class Careful(Section):
        taken_up_by: ClassVar[frozenset[Party]] = frozenset({Party.NODE})
        one: int = 1
        two: Annotated[int, TakenUpBy.only(Party.RECEIVERS)] = 2
        three: Annotated[int, TakenUpBy.only()] = 3

    found = changes(Careful(), Careful(one=2, two=3, three=4))
    assert found == {("one",): {Party.NODE}, ("two",): {Party.RECEIVERS}, ("three",): frozenset()}


def test_what_comes_or_goes_is_taken_up_by_everybody_who_takes_up_a_key_of_it() -> None:
    """Receivers know the AE titles of destinations, and nothing else of them."""
    one = validated({"node": {"time_zone": "UTC"}, "destinations": {"pacs": PACS}}, Path("/site"))
    none = validated({"node": {"time_zone": "UTC"}}, Path("/site"))
    other = validated({"node": {"time_zone": "UTC"}, "destinations": {"pacs": PACS | {"timeout": "5s"}}}, Path("/site"))
    everybody = {Party.RECEIVERS, Party.NODE, Party.PEERS}
    assert changes(none, one) == changes(one, none) == {("destinations", "pacs"): everybody}
    assert changes(one, other) == {("destinations", "pacs", "timeout"): {Party.PEERS}}
    assert parties_of(DicomDestination, "sr_class") == {Party.NODE}


def test_every_relative_path_begins_at_the_folder_of_the_file() -> None:
    """In every section, also where nobody wrote the default; an absolute one stays."""
    tls = {"authorities": "ca.pem", "certificate": "/etc/node.pem", "key": "node.key"}
    asking = {"host": "ct", "port": 104, "tls": {"authorities": "ct.pem"}}
    value = {
        "node": {"time_zone": "UTC", "listen": {"tls": {"port": 2762, **tls}}},
        "modalities": {"ct": {"ae_title": "CT", "storage_commitment": asking}},
        "destinations": {"pacs": PACS | {"tls": tls}},
        "plugins": {"own": {"folder": "own"}},
        "people": {"duty": {"webhook": {"url": "https://pager", "token_file": "token", "authorities": "web.pem"}}},
        "notify": {"mail": {"host": "mail", "sender": "a@b.example", "username": "a", "password_file": "password"}},
    }
    found = [str(path) for path in paths(validated(value, Path("/site")))]
    listed = ["data", *["ca.pem", "node.key"] * 2, "ct.pem", "own", "token", "web.pem", "password"]
    assert sorted(found) == sorted([*(f"/site/{name}" for name in listed), *["/etc/node.pem"] * 2])


def test_old_yaml_is_a_destination_of_kind_dicom(write: Write) -> None:
    """As it always was; `kind: dicom` may be said."""
    assert told(write(PACS_YAML % "kind: dicom")) == []
    assert validated({"node": {"time_zone": "UTC"}, "destinations": {"pacs": PACS}}, Path()).destinations[
        "pacs"
    ] == DicomDestination.model_validate(PACS)


@pytest.mark.parametrize(
    ("line", "where", "message"),
    [
        ("kind: dicm", (4, "kind"), 'expected "dicom" or "dicomweb" or "folder", got "dicm" → dicom'),
        ("kind:", (5, "kind"), 'expected "dicom" or "dicomweb" or "folder", got nothing'),
        ("kind: [dicom]", (4, "kind"), 'expected "dicom" or "dicomweb" or "folder", got a list'),
        ("encoding: {}", (4, "encoding"), 'there is no key "encoding" here'),
        ("sr_klass: enhanced", (4, "sr_klass"), 'there is no key "sr_klass" here → sr_class'),
        ("sr_class: enhnced", (4, "sr_class"), '"enhanced"'),
        ("tls: {}", (4, "tls"), 'the key "authorities" is missing'),
    ],
)
def test_a_mistake_in_a_destination_is_at_its_line(
    line: str, where: tuple[int, str], message: str, write: Write
) -> None:
    """The kind is no part of the path."""
    [(number, path, text)] = told(write(PACS_YAML % line))
    assert (number, path) == (where[0], f"destinations.pacs.{where[1]}")
    assert message in text


def test_each_kind_has_its_own_keys_and_the_ones_that_all_have() -> None:
    """Told apart by `kind`; a key of another kind is a mistake, and a kind that there is not says which there are."""
    site = Site.model_validate({"destinations": {"a": PACS, "b": {"kind": "shelf", "folder": "x", "language": "ko"}}})
    assert [type(each) for each in site.destinations.values()] == [DicomDestination, ShelfDestination]
    assert site.destinations["b"].encoding == EncodingProfile(language="ko")
    value = {"destinations": {"a": {"kind": "shelf", "folder": "x", "port": 1}, "b": {"kind": "ftp"}}}
    with pytest.raises(ValidationError) as caught:
        Site.model_validate(value)
    found = validation.problems_of(caught.value, Document("f", value), Site)
    assert [(each.yaml_path, each.message) for each in found] == [
        ("destinations.a.port", 'there is no key "port" here'),
        ("destinations.b.kind", 'expected "dicom" or "shelf", got "ftp"'),
    ]
    wanted = Site.model_validate({"destinations": {"a": {"kind": "shelf", "folder": "x"}, "b": PACS}})
    assert changes(site, wanted)["destinations", "a"] == {Party.RECEIVERS, Party.NODE, Party.PEERS}


def test_the_schema_offers_each_kind_with_its_keys() -> None:
    """Editors complete from it; how objects are encoded stands among the other keys."""
    made = TypeAdapter(Site).json_schema()
    kinds = [
        each["$ref"].rpartition("/")[2] for each in made["properties"]["destinations"]["additionalProperties"]["oneOf"]
    ]
    assert kinds == ["DicomDestination", "ShelfDestination"]
    keys = schema.configuration()["definitions"]["DicomDestination"]["properties"]
    assert {"kind", "ae_title", "sr_class", "retry"} <= keys.keys()
    assert "encoding" not in keys


def test_every_kind_of_destination_has_a_way() -> None:
    """And every way has a kind."""
    assert {each.model_fields["kind"].default for each in DESTINATIONS.kinds} == WAYS.keys()


def test_the_digest_of_a_profile_is_that_of_earlier_releases() -> None:
    """UIDs of results derive from it: where a site says all that earlier releases did by default, it is the same."""
    assert EncodingProfile(transfer_syntax="explicit").digest() == "d186a076b2b1e28925c6ce448dfae0c9"
    full = EncodingProfile(
        sr_class="enhanced",
        transfer_syntax="explicit",
        send_when={"failed": frozenset({"sr"}), "findings": frozenset({"sc"})},
    )
    assert full.digest() == "73f8243211b6f8d346a55294f66c3d37"
    assert len({full, EncodingProfile.from_json(full.to_json()), EncodingProfile()}) == 2

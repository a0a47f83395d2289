"""What `check` says of destinations that do not speak DIMSE."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.config.loading import read
from tests.support.sites.configurations import Write, told

SITE = """\
node: {time_zone: UTC}
modalities:
  ct: {ae_title: CT, storage_commitment: {host: ct, port: 104%s}}
destinations:
  there:
    %s
rules:
  - {name: r, when: {Modality: CT}, run: mine, %s}
plugins: {mine: {folder: mine}}
"""
SENT = "choose: {take: one}, send: there, mode: clinical"


def site(destination: str, rule: str = SENT, commitment: str = "") -> str:
    """A configuration with this destination."""
    return SITE % (commitment, destination.replace("; ", "\n    "), rule)


TWICE = "is given already: both would be the same header"
WEB = "kind: dicomweb; url: https://pacs.example/dicom-web"
DROP = "kind: folder; folder: out"


@pytest.mark.parametrize("destination", [WEB, DROP, "kind: dicomweb; url: http://localhost:8042/dicom-web/"])
def test_results_and_images_may_go_there(destination: str, write: Write) -> None:
    """Without an AE title."""
    assert told(write(site(destination))) == []
    assert told(write(site(destination, f"{SENT}, forward: {{to: there}}"))) == []


@pytest.mark.parametrize(
    ("destination", "message"),
    [
        (f"{WEB}; commitment: require", "commitment is DICOM's own"),
        (f"{WEB}; ae_title: PACS", 'there is no key "ae_title" here'),
        (f"{WEB}; username: a", "username and password_file go together"),
        (f"{WEB}; username: 'a:b'; password_file: config.yaml", "without a colon"),
        (f"{WEB}; certificate: c", "certificate and key go together"),
        (f"{WEB}; token_file: absent", "there is no file"),
        ("kind: dicomweb; url: http://pacs.example/", "unencrypted: true"),
        ("kind: dicomweb; url: http://localhost/; authorities: c", "are for TLS"),
        ("kind: dicomweb; url: https://pacs.example/?a=b", "without ? and #"),
        ("kind: dicomweb; url: https://me:secret@pacs.example/", "names no user"),
        (f"{DROP}; identity_check: study", 'expected "none", got "study"'),
        (f"{DROP}; on_identity_change: adopt", 'expected "hold"'),
        (f"{DROP}; wait_for_study: 3h", "cannot be asked for a study"),
        (f"{DROP}; commitment: try", 'there is no key "commitment" here'),
        (f"{DROP}; names: '{{name}}.dcm'", "there is no field {name}"),
        ("kind: folder; folder: data/out", "cannot be inside node.data"),
        ("kind: folder; folder: .", "nor around it"),
        ("kind: folder", 'the key "folder" is missing'),
        ("kind: ftp; url: ftp://x", 'expected "dicom" or "dicomweb" or "folder", got "ftp"'),
    ],
)
def test_what_a_kind_cannot_do_is_said_in_words(destination: str, message: str, write: Write) -> None:
    """At the destination."""
    found = told(write(site(destination)))
    assert any(path.startswith("destinations.there") and message in text for _, path, text in found), found


def test_one_login_is_enough(write: Write, tmp_path: Path) -> None:
    """Two would be the same header."""
    (tmp_path / "secret").write_text("x")
    login = "token_file: secret; oauth2: {token_url: 'https://t.example', client_id: a, client_secret_file: secret}"
    [(_, path, message)] = told(write(site(f"{WEB}; {login}")))
    assert (path, message) == (
        "destinations.there.oauth2",
        "token_file is given already: both would be the same header",
    )


def test_what_needs_dimse_is_refused(write: Write) -> None:
    """Storage commitment of an archive, and earlier studies."""
    through = ", commit_through: there"
    [(_, path, message)] = told(write(site(WEB, commitment=through)))
    assert path == "modalities.ct.storage_commitment.commit_through"
    assert "speaks no DIMSE" in message
    prior = f"{SENT}, prior: {{source: there, when: {{Modality: CT}}, role: before}}"
    found = told(write(site(DROP, prior)))
    assert any("earlier studies are fetched by C-FIND and C-MOVE" in text for _, _, text in found), found


@pytest.mark.parametrize(
    ("destination", "message"),
    [
        ("kind: dicomweb; url: http://pacs.example/; unencrypted: true", "pacs.example is spoken to without TLS"),
        (f"{WEB}; token_file: token", "other users can read or replace token"),
        (f"{DROP}; names: '{{patient_id}}.dcm'", "add {sop_instance_uid}"),
    ],
)
def test_what_a_site_should_know_is_a_warning(destination: str, message: str, write: Write, tmp_path: Path) -> None:
    """The node runs anyway."""
    (tmp_path / "token").write_text("x")
    (tmp_path / "token").chmod(0o644)
    warnings = [each.message for each in read(write(site(destination))).warnings]
    assert any(message in each for each in warnings), warnings

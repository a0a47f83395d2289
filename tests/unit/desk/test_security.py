"""`check --security`: each row by what the configuration or the machine says, with the line that would change it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from node.cli import main
from node.desk.security import asking, file_rows
from node.desk.security.row import SecurityRow, SecuritySeverity
from node.run import sandbox
from node.run.sandbox import Isolation

GOOD, NOTE, WARNING, CRITICAL = SecuritySeverity
CONFIG = """\
node:
  time_zone: UTC
  accept: {accept}
  listen: {{host: {host}, port: 104}}
  isolation: {isolation}
modalities:
  ct1: {{ae_title: CT1}}
  ct2: {{ae_title: CT2, addresses: [10.1.2.3]}}
destinations:
  pacs: {{ae_title: PACS, host: 10.0.0.9, port: 104, identity_check: none, also_from: [0.0.0.0/0]}}
  local: {{ae_title: LOCAL, host: 127.0.0.1, port: 105}}
services:
  lungs: {{url: "http://ai.hospital.example/x"}}
people:
  duty: {{webhook: {{url: "http://pager.hospital.example/x", token_file: token}}}}
console: {{host: 0.0.0.0}}
notify: {{mail: {{host: mail.hospital.example, sender: a@b.example, tls: none}}, accession_number: true}}
plugins:
  ct-qa: {{isolation: "off"}}
rules:
  - name: qa
    when: {{Modality: CT}}
    choose: {{where: {{Modality: CT}}}}
    run: {{plugin: ct-qa, identity: full}}
    send: pacs
    mode: pilot
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site that leaves much open, on a machine that cannot confine plugins."""
    monkeypatch.setattr(sandbox, "isolation", lambda: Isolation(None, "bubblewrap is not installed"))
    monkeypatch.chdir(tmp_path)
    for name, mode in (("token", 0o644), ("data", 0o755)):
        (tmp_path / name).mkdir() if name == "data" else (tmp_path / name).write_text("secret")
        (tmp_path / name).chmod(mode)
    (tmp_path / "config.yaml").write_text(CONFIG.format(accept="any", host="0.0.0.0", isolation="auto"))
    (tmp_path / "config.yaml").chmod(0o646)
    return tmp_path / "config.yaml"


def _one(found: list[SecurityRow], said: str) -> SecurityRow:
    [row] = [each for each in found if said in each.said]
    return row


def test_what_is_open_is_told_with_its_line(site: Path) -> None:
    """Severity, line and key of each."""
    found = list(asking.rows(site))
    expected = {
        "any calling AE title": (CRITICAL, 3, "node.accept", "accept: known"),
        "DICOM on 0.0.0.0 port 104, without TLS": (WARNING, 4, "node.listen.port", "port: off"),
        "CT1 may call from any address": (WARNING, 7, "modalities.ct1", "addresses"),
        "CT2 may call from 10.1.2.3": (GOOD, 8, "modalities.ct2", ""),
        "PACS at 10.0.0.9:104, without TLS": (WARNING, 10, "destinations.pacs", "a section tls"),
        "PACS may call from everywhere": (WARNING, 10, "destinations.pacs.also_from", "also_from"),
        "without asking which patient the study belongs to": (
            WARNING,
            10,
            "destinations.pacs.identity_check",
            "identity_check: study",
        ),
        "LOCAL at 127.0.0.1:105, without TLS, on this machine": (NOTE, 11, "destinations.local", ""),
        "the web service ai.hospital.example:80": (WARNING, 13, "services.lungs.url", "https"),
        "lungs does not learn who calls": (NOTE, 13, "services.lungs", "token_file"),
        "messages to duty to pager.hospital.example, without TLS": (WARNING, 15, "people.duty.webhook.url", "https"),
        "by mail through mail.hospital.example:587, without TLS": (WARNING, 17, "notify.mail.tls", "starttls"),
        "messages name the accession number": (NOTE, 17, "notify.accession_number", "false"),
        "ct-qa runs in no sandbox": (CRITICAL, 19, "plugins.ct-qa.isolation", "isolation: required"),
        "gets the identity of patients by the rule qa": (WARNING, 24, "rules[0].run", "identity: pseudonym"),
        "other users can read or replace token": (CRITICAL, 15, "people.duty.webhook.token_file", "chmod 600 token"),
        "every user of this machine can look into": (CRITICAL, 1, "node.data", "chmod 700"),
        "metrics and health on 0.0.0.0 port 8088": (WARNING, 16, "console.host", "127.0.0.1"),
    }
    for said, (severity, line, key, change) in expected.items():
        row = _one(found, said)
        assert (row.severity, row.where, row.key) == (severity, f"{site}:{line}", key), said
        assert change in row.change
    changed = _one(found, f"every user of this machine can change {site}")
    assert (changed.severity, changed.change) == (CRITICAL, f"chmod o-w {site}")
    plugins = next(each for each in found if each.topic == "plugins")
    assert plugins.severity in (WARNING, CRITICAL)  # as root it is worse
    assert "bubblewrap is not installed" in plugins.said


def test_destinations_of_other_kinds_are_told_too(site: Path) -> None:
    """Without TLS, without a login, without an identity check; what the token server gets."""
    text = site.read_text()
    token = "{token_url: 'https://login.example/t', client_id: a, client_secret_file: token}"
    kinds = [
        "  web: {kind: dicomweb, url: 'http://web.example/d', unencrypted: true}",
        f"  safe: {{kind: dicomweb, url: 'https://safe.example/d', oauth2: {token}}}",
        "  drop: {kind: folder, folder: out}",
    ]
    site.write_text(text.replace("services:\n", "\n".join([*kinds, "services:\n"])))
    found = list(asking.rows(site))
    web = _one(found, "DICOMweb at http://web.example/d, without TLS")
    assert (web.severity, web.key) == (WARNING, "destinations.web.url")
    assert _one(found, "web does not learn who calls").severity is NOTE
    assert _one(found, "DICOMweb at https://safe.example/d over TLS").severity is GOOD
    assert _one(found, "the token server login.example over TLS").key == "destinations.safe.oauth2.token_url"
    assert _one(found, f"drop: files with patients' data in {site.parent / 'out'}").severity is NOTE
    assert _one(found, "drop: it cannot be asked which patient").severity is NOTE
    secret = [each for each in found if each.key == "destinations.safe.oauth2.client_secret_file"]
    assert [each.severity for each in secret] == [CRITICAL]


def test_the_exit_code_says_whether_something_is_critical(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """1 while anything is; 0 when what was told is changed. Warnings are a person's decision."""
    with pytest.raises(SystemExit) as ended:
        main(["check", "--security", "--json"])
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert ended.value.code == 1
    assert {"topic", "severity", "said", "where", "key", "change"} == set(rows[0])
    text = CONFIG.format(accept="known", host="127.0.0.1", isolation="auto").replace('  ct-qa: {isolation: "off"}', "")
    site.write_text(text)
    for path, mode in ((site, 0o640), (site.parent / "token", 0o600), (site.parent / "data", 0o700)):
        path.chmod(mode)
    with pytest.raises(SystemExit) as ended:
        main(["check", "--security"])
    said = capsys.readouterr().out
    critical = [line for line in said.splitlines() if line.startswith("critical ")]
    as_root = os.geteuid() == 0  # without a sandbox, plugins of root are critical
    assert (ended.value.code, len(critical)) == ((1, 1) if as_root else (0, 0)), said
    assert "→ config.yaml:7 modalities.ct1" in said


def test_an_encrypted_disk_is_seen_through_volumes_on_it(tmp_path: Path) -> None:
    """A logical volume on LUKS: its own name says LVM, that of the device below says CRYPT."""
    number = tmp_path.stat().st_dev
    volume, below = tmp_path / f"{os.major(number)}:{os.minor(number)}", tmp_path / "dm-0"
    for device, uuid in ((volume, "LVM-abc"), (below, "CRYPT-LUKS2-abc")):
        (device / "dm").mkdir(parents=True)
        (device / "dm" / "uuid").write_text(uuid)
    assert not file_rows.is_encrypted(tmp_path, tmp_path)
    (volume / "slaves").mkdir()
    (volume / "slaves" / "dm-0").symlink_to(below)
    assert file_rows.is_encrypted(tmp_path, tmp_path)

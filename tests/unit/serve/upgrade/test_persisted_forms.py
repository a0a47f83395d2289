"""What is kept as text is read in the oldest form in which a release wrote it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from node.config import in_force
from node.config.encoding import EncodingProfile
from node.config.loading import load
from node.dimse.commitment import CommitmentReference, CommitmentRequest, CommitmentResult
from node.ledger.encodings import Encoding
from node.ledger.terms import Terms, from_kept
from node.results.making import SetRequest
from node.results.request import SourceReference
from node.store.health import TROUBLE, Trouble, trouble
from node.store.journal import Journal, JournalMessage
from tests.support.sites.earlier import FOLDER

AT = datetime(2026, 3, 1, 9, tzinfo=UTC)
TEXT = "2026-03-01T09:00:00.000000Z"
REQUEST = {
    "content": {"transaction_uid": "1.2.3", "references": [["1.2.840.10008.5.1.4.1.1.2", "1.2.4"]]},
    "calling_ae_title": "CT1",
    "called_ae_title": "NODE",
    "association": "a",
    "received_at": TEXT,
    "kind": "request",
}
RESULT = REQUEST | {
    "content": {"transaction_uid": "1.2.3", "committed": [["1.2", "1.4"]], "failed": [["1.2", "1.5", 272]]},
    "kind": "result",
}
PROFILE = {
    "character_set": "utf-8",
    "editable": False,
    "kinds": ["ko", "pm", "sc", "seg", "sr"],
    "language": "ko",
    "sc_form": "single",
    "sc_modality": "OT",
    "seg_form": "binary",
    "send_when": [["not_applicable", ["sr"]]],
    "series_number_base": 9000,
    "series_text": "",
    "sr_class": "enhanced",
    "transfer_syntax": "explicit",
}


def test_finding_m2_messages_of_storage_commitment(tmp_path: Path) -> None:
    """A request, and an archive's report, that were answered before the upgrade and not yet taken."""
    journal = Journal(tmp_path)
    for name, said in (("0" * 32, REQUEST), ("1" * 32, RESULT)):
        (journal.folder / f"{name}.json").write_text(json.dumps(said))
    asked, told = (journal.read(name) for name in journal.waiting())
    reference = CommitmentReference("1.2.840.10008.5.1.4.1.1.2", "1.2.4")
    assert asked == JournalMessage(CommitmentRequest("1.2.3", (reference,)), "CT1", "NODE", "a", AT)
    failed = ((CommitmentReference("1.2", "1.5"), 272),)
    assert told.content == CommitmentResult("1.2.3", (CommitmentReference("1.2", "1.4"),), failed)


@pytest.mark.parametrize("without", [(), ("editable", "series_text", "transfer_syntax", "sc_form")])
@pytest.mark.parametrize("ending", ["", "-refused"])
def test_finding_m2_how_objects_were_encoded(without: tuple[str, ...], ending: str) -> None:
    """What a later release adds to a profile has its default; and the set keeps its name, so that what is made for it
    later is recorded with it and has UIDs of the same set."""
    text = json.dumps({key: value for key, value in PROFILE.items() if key not in without}, sort_keys=True)
    kept = Encoding("j", f"{'d' * 32}{ending}", text, (("1", "2", "3", "4"),), says_why=bool(ending))
    wanted = SetRequest.of(kept)
    form = "compressed" if "transfer_syntax" in without else "explicit"
    meant = {"sr_class": "enhanced", "language": "ko", "transfer_syntax": form}
    assert wanted.profile == EncodingProfile.model_validate(meant)
    assert wanted.supersedes == (SourceReference("1", "2", "3", "4"),)
    assert (wanted.name, wanted.digest) == (kept.name, "d" * 32)


@pytest.mark.parametrize(
    ("kept", "terms"),
    [
        ("{}", Terms()),
        ('{"send_when":["findings"]}', Terms(send_when=("findings",))),
        (f'{{"expires_at":"{TEXT}","when_late":"withhold"}}', Terms(expires_at=AT, when_late="withhold")),
        (
            f'{{"expires_at":"{TEXT}","text":"late","when_late":"notify","whom":["duty"]}}',
            Terms(expires_at=AT, when_late="notify", whom=("duty",), text="late"),
        ),
    ],
)
def test_finding_m2_terms_of_jobs(kept: str, terms: Terms) -> None:
    """Of a job that was decided before it had any, and of one that had some."""
    assert from_kept(kept) == terms


def test_finding_m2_what_is_in_force(tmp_path: Path) -> None:
    """Written before certificates and changes were kept: commands find the ledger by it all the same."""
    value = {"node": {"ae_title": "NODE", "time_zone": "Asia/Seoul", "data": "data"}}
    said = {"path": str(tmp_path / "c.yaml"), "folder": str(tmp_path), "since": TEXT, "by": "root", "value": value}
    path = tmp_path / in_force.FILE
    path.write_text(json.dumps(said))
    found = in_force.read(path)
    assert (found.since, found.by, found.change, found.certificates) == (AT, "root", None, {})
    assert found.configuration.node.data == tmp_path / "data"


def test_finding_m2_trouble(tmp_path: Path) -> None:
    """The last attempt to write failed, said the release before."""
    (tmp_path / TROUBLE).write_text(json.dumps({"at": TEXT, "reason": "No space left on device"}))
    assert trouble(tmp_path) == Trouble(AT, "No space left on device")


def test_finding_m2_a_configuration_of_an_earlier_release_is_taken(tmp_path: Path) -> None:
    """The example that release 2f7d039 came with, as it was."""
    (tmp_path / "config.yaml").write_text((FOLDER / "2f7d039.yaml").read_text())
    for name in ("plugins", "rules"):
        (tmp_path / name).symlink_to(Path(__file__).parents[3] / name)
    assert load(tmp_path / "config.yaml").rules

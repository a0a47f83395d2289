"""A web service: what it gets, what becomes of its answer, and of what a service can do wrong."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from starlette.responses import Response

from node.index.children import HeaderReader
from node.kit import chosen, running
from node.kit.receiving import GivenImages
from node.ledger import contacts, events, services
from node.ledger.attempts import AttemptState
from node.ledger.contacts import ContactKind
from node.ledger.job import Job, JobOutcome, JobStatus
from node.run import waiting
from tests.support.dimse.vendor_box import VendorBox
from tests.support.images.receipts import STUDY
from tests.support.sites.ai_service import AiService, SubmittedStudy, answer, multipart, result, serving, zipped
from tests.support.sites.service_room import ServiceRoom

MakeRoom = Callable[..., ServiceRoom]


@pytest.fixture
def ai() -> Iterator[AiService]:
    with serving(AiService()) as service:
        yield service


@pytest.fixture
def room_of(tmp_path: Path, reader: HeaderReader, ai: AiService) -> Iterator[MakeRoom]:
    """Makes the room of this service."""
    made: list[ServiceRoom] = []

    def room(**keys: Any) -> ServiceRoom:
        made.append(ServiceRoom(tmp_path, reader, keys.pop("url", ai.url), **keys))
        return made[-1]

    yield room
    for each in made:
        each.close()


def found(room: ServiceRoom, job: Job) -> dict[str, Any]:
    """The kept result of a job that has ended with findings."""
    now = room.get(job)
    assert (now.status, now.outcome) == (JobStatus.ENDED, JobOutcome.FINDINGS), now.error
    return room.kept(job)


def failed(room: ServiceRoom, job: Job) -> str:
    """Why a job failed, for the admin; readers get a report that names neither a finding nor a code of HTTP."""
    now = room.get(job)
    assert (now.status, now.outcome) == (JobStatus.ENDED, JobOutcome.FAILED), now.error
    assert "Nothing can be concluded" in room.kept(job)["summary"]
    return now.error or ""


def test_images_leave_under_pseudonyms_and_the_answer_is_taken(room_of: MakeRoom, ai: AiService) -> None:
    """A part a file, named as in a job's folder; nothing says who the patient is, or how things are called here."""
    room, ai.polls = room_of(), 1
    job = room.study_with_job(4, chosen=3)
    room.submit()
    sent = ai.only
    assert list(sent.files) == ["request.json", *(f"in/s01/{number:05}.dcm" for number in (1, 2, 3))]
    assert [each.InstanceNumber for each in sent.images] == [1, 2, 3]
    everything = b"".join(sent.files.values())
    assert not any(word in everything for word in (b"Hong", STUDY.encode(), job.id.encode(), b"/lungs"))
    attempt = room.attempt(job)
    assert (attempt.state, attempt.place, attempt.kind) == (AttemptState.RUNNING, "service:ai", "http")
    assert list((room.data_folder.data / "services").rglob("*.dcm")) == []
    room.passes(seconds=5)
    assert room.get(job).status is JobStatus.RUNNING
    room.passes(seconds=5)
    assert [each["code"]["value"] for each in found(room, job)["findings"]] == ["1"]
    assert list((room.data_folder.data / "services").rglob("*.*")) == []


def capture(study: SubmittedStudy, **changes: Any) -> bytes:
    """A Secondary Capture that a service makes of what it got."""
    maker = VendorBox()
    maker.received = study.images
    made, kept = maker.dumb_capture(**changes), BytesIO()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.save_as(kept, enforce_file_format=True)
    return kept.getvalue()


def test_dicom_objects_come_back_with_the_true_identity(room_of: MakeRoom, ai: AiService) -> None:
    """As those of any plugin: checked, and mapped back; one of another study is left out."""
    room = room_of()

    def answers(study: SubmittedStudy) -> Response:
        other = capture(study, StudyInstanceUID="9.9")
        parts = [("application/dicom", capture(study)), ("application/dicom", other)]
        return answer(study, multipart(parts), "multipart/related; boundary=cut")

    ai.answers = answers
    job = room.study_with_job()
    room.submit()
    room.passes(seconds=5)
    (each,) = found(room, job)["objects"]
    kept = dcmread(room.data_folder.results / job.id / "plugin" / "out" / each["file"])
    assert (str(kept.StudyInstanceUID), kept.PatientID) == (STUDY, "P1")


NIFTI = """
[nifti]
[[nifti.numbers]]
file = "numbers.csv"
column = "volume"
concept = {value = "118565006", scheme = "SCT", meaning = "Volume"}
unit = "mL"
finding = {value = "1", scheme = "99TEST", meaning = "Thing"}
"""


def test_a_service_of_nifti_files_gets_and_gives_them(room_of: MakeRoom, ai: AiService) -> None:
    """`exchange = "nifti"`: image and sidecar out, tables and masks back, by the manifest's mapping; over a restart."""
    room = room_of(runtime='exchange = "nifti"\nsend = "zip"', identity="full", outputs='["findings"]', rest=NIFTI)
    ai.answers = lambda study: answer(study, zipped({"numbers.csv": b"volume\n12.5\n"}), "application/zip")
    job = room.study_with_job(5)
    room.submit()
    assert sorted(ai.only.files) == ["in/image.nii.gz", "in/pacsnode.json"]
    room.restart()
    room.passes(seconds=5)
    (finding,) = found(room, job)["findings"]
    assert [each["value"] for each in finding["measurements"]] == [12.5]


# --- what comes between ----------------------------------------------------------------------------


def test_what_it_has_it_is_not_given_a_second_time(room_of: MakeRoom, ai: AiService) -> None:
    """Its word was lost, or the node died before it was written down: the same key again, and one analysis."""
    room, ai.after = room_of(), [lambda: Response(status_code=502)]
    job = room.study_with_job()
    room.submit()
    room.restart()
    room.passes(seconds=5)
    room.passes(seconds=5)
    found(room, job)
    assert len(ai.begun) == 1
    assert [method for method, _ in ai.asked if method == "POST"] == ["POST", "POST"]


def test_a_service_that_has_forgotten_gets_it_again_under_the_same_key(room_of: MakeRoom, ai: AiService) -> None:
    """It was restarted: the images are laid out and submitted again."""
    room = room_of()
    job = room.study_with_job()
    room.submit()
    ai.studies.clear()
    room.passes(seconds=5)
    room.passes(seconds=5)
    room.passes(seconds=5)
    found(room, job)
    assert len(ai.begun) == 2
    assert len(set(ai.begun)) == 1
    kinds = [each.kind for each in events.of_study(room.ledger.database, STUDY)]
    assert kinds.count("service.forgot") == 1
    assert kinds.count("service.sent") == 1


def test_retry_after_is_honoured(room_of: MakeRoom, ai: AiService) -> None:
    """Of a refusal for now, and of work in progress: it is not asked before."""
    room = room_of()
    ai.first = [lambda: Response(status_code=429, headers={"Retry-After": "120"})]
    ai.waits, ai.polls = {"Retry-After": "300"}, 1
    job = room.study_with_job()
    room.submit()
    room.passes(seconds=119)
    assert not ai.begun
    room.passes(seconds=1)
    assert len(ai.begun) == 1
    room.passes(seconds=299)
    assert ai.only.polls == 0
    room.passes(seconds=1)
    room.passes(seconds=300)
    found(room, job)


def test_one_that_is_down_all_the_time_is_an_alert_and_said_to_readers(room_of: MakeRoom) -> None:
    """Until the deadline it is tried; `status` says that it is not reached."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    room = room_of(url=f"http://127.0.0.1:{port}/analyses")
    job = room.study_with_job()
    room.submit()
    known = contacts.get(room.ledger.database, ContactKind.SERVICE, "ai")
    assert known is not None
    assert "cannot be reached" in (known.error or "")
    room.passes(minutes=11)
    assert room.alerts() == ["service.down"]
    room.passes(hours=1)
    assert "did not take the images" in failed(room, job)
    assert "could not be sent to ai" in room.kept(job)["summary"]
    assert "service.silent" in room.alerts()


def test_an_answer_about_another_study_is_no_result(room_of: MakeRoom, ai: AiService) -> None:
    """It names an image that was not given: the job fails, and is not asked for again."""
    room = room_of()
    keys = {"key_images": [{"image": {"sop_instance_uid": "9.9"}, "reason": "x"}]}
    ai.answers = lambda study: answer(study, result(**keys), "application/json")
    job = room.study_with_job()
    room.submit()
    room.passes(seconds=5)
    assert "$.key_images[0]" in failed(room, job)
    room.passes(hours=1)
    assert len(ai.begun) == 1
    assert ai.only.polls == 1


def test_what_is_refused_fails_and_what_may_be_mended_is_tried_again(room_of: MakeRoom, ai: AiService) -> None:
    """415 is about these images, a redirect (which is not followed) about the service."""
    room = room_of()
    ai.first = [lambda: Response(status_code=302, headers={"Location": "http://127.0.0.1:1/x"})]
    job = room.study_with_job()
    room.submit()
    known = services.get(room.ledger.database, room.attempt(job).id)
    assert known is not None
    assert "redirects elsewhere" in (known.error or "")
    ai.first = [lambda: Response(status_code=415)]
    room.passes(seconds=5)
    assert "answers 415" in failed(room, job)
    assert not ai.begun


# --- the machine, and authors ----------------------------------------------------------------------


def test_a_service_has_at_most_so_many_jobs_and_none_takes_a_slot(room_of: MakeRoom, ai: AiService) -> None:
    """The second waits for the first, and says so; no slot of this machine is busy."""
    room, ai.polls = room_of(at_once=1, use={"at_once": 9}), 1
    first, second = room.study_with_job(1), room.study_with_job(1, study="1.2.3.2")
    room.submit()
    room.run.run_once()
    assert room.run._busy() == []
    assert [room.get(each).status for each in (first, second)] == [JobStatus.RUNNING, JobStatus.QUEUED]
    assert waiting.noted(room.data_folder.data) == {"lungs": "waits for its turn: at most 1 at once at ai"}
    for _ in range(2):
        room.passes(seconds=5)
    found(room, first)
    room.submit()
    for _ in range(2):
        room.passes(seconds=5)
    found(room, second)
    assert len(set(ai.begun)) == 2


def test_a_service_that_is_not_configured_any_more_ends_its_jobs(room_of: MakeRoom, ai: AiService) -> None:
    """Nobody would look after them."""
    room, ai.polls = room_of(), 9
    job = room.study_with_job()
    room.submit()
    room.run.use(room.configuration.model_copy(update={"services": {}}))
    room.run.run_once()
    assert "there is no service ai" in failed(room, job)


def test_the_kit_runs_it_against_the_service(room_of: MakeRoom, ai: AiService, tmp_path: Path) -> None:
    """`pacsnode plugin run --config`: what an author sees is what a site will see."""
    room = room_of(poll=timedelta(seconds=1))
    room.study_with_job(3)
    ai.studies.clear()
    images = sorted((room.data_folder.data / "store").rglob("*.dcm"))
    choice = chosen.choose("lungs", room.configuration)
    said = running.run(choice, GivenImages(tuple(images)), {})
    assert said.worked, said.error
    assert len(ai.begun) == 1

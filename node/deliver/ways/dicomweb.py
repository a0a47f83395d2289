"""A destination that speaks DICOMweb (PS3.18): QIDO-RS for the questions, STOW-RS for the objects.

An object is one request, and its file is the body's one part, byte for byte. dicomweb-client is not used for it: it
encodes data sets again instead of sending a file, and reads answers of any size into memory.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import quote, urlencode
from uuid import uuid4

from node.config.destinations import Destination
from node.config.web_destinations import DicomWebDestination
from node.deliver.policy import Answer
from node.deliver.ways import http_status, store_response
from node.deliver.ways.archive import Kind, NotAdmittedError, NotReachedError, Sender
from node.deliver.ways.store_response import SYNTAX_REFUSED
from node.dicom import web_model
from node.dicom.object_file import SERIES, STUDY, read_as_far_as_possible
from node.dicom.part10 import StoredObject, read_object
from node.dicom.transcoding import acceptable
from node.dicom.uids import is_acceptable_uid, named
from node.errors import PermanentError, TransientError
from node.outcome import AnswerReading
from node.web.caller import WebCallee, WebCaller, WebReply, calling
from node.web.client import NotConnectedError, WebRequest
from node.web.logins import login_of

_MOST = 16 << 20
"""Bytes of an answer to a question."""
_MOST_PAGES = 100
_PIECE = 1 << 20
_JSON = "application/dicom+json"
_REFUSED_FOR = 3600.0
"""Seconds for which a kind that was refused is not sent again: a person may have changed something there."""
_MOST_UNSURE = 1000
_UNAUTHORISED = (401, 403)
_MEDIA_TYPE_REFUSED = f"{http_status.HTTP}415"


def archive(destination: Destination, _ae_title: str) -> DicomWebArchive:
    """The way to a destination of kind dicomweb."""
    assert isinstance(destination, DicomWebDestination), destination.kind
    return DicomWebArchive(destination)


class DicomWebArchive:
    """See `node.deliver.ways.archive.Archive`."""

    def __init__(self, destination: DicomWebDestination) -> None:
        self._root = destination.root
        self._login = login_of(destination)
        self._callee = WebCallee(
            destination.place,
            destination.authorities,
            destination.certificate,
            destination.key,
            destination.timeout.total_seconds(),
            destination.transfer.total_seconds(),
        )
        self._known = StowMemory()

    def find_study(self, study_instance_uid: str, keywords: Sequence[str]) -> list[Mapping[str, str]]:
        """QIDO-RS, Search for Studies."""
        return self._find("studies", keywords, StudyInstanceUID=study_instance_uid)

    def has_instance(self, study_instance_uid: str, series_instance_uid: str, sop_instance_uid: str) -> bool:
        """QIDO-RS, Search for Instances."""
        within = _of_study(study_instance_uid) + (f"/series/{_uid(series_instance_uid)}" if series_instance_uid else "")
        found = self._find(f"{within}/instances", ["SOPInstanceUID"], SOPInstanceUID=sop_instance_uid)
        return any(each["SOPInstanceUID"].strip(" \0") == sop_instance_uid for each in found)

    def find_series(self, study_instance_uid: str, keywords: Sequence[str]) -> list[Mapping[str, str]]:
        """QIDO-RS, Search for Series."""
        return self._find(f"{_of_study(study_instance_uid)}/series", keywords)

    def find_instances(
        self, study_instance_uid: str, series_instance_uid: str, keywords: Sequence[str]
    ) -> list[Mapping[str, str]]:
        """QIDO-RS, Search for Instances."""
        within = f"{_of_study(study_instance_uid)}/series/{_uid(series_instance_uid)}"
        return self._find(f"{within}/instances", keywords)

    @contextmanager
    def connect(self, _kinds: Iterable[Kind]) -> Iterator[Sender]:
        """A connection, over which it has said something: else nobody would know that it is not reached."""
        with self._calling() as caller:
            try:
                reply = _asked(caller, WebRequest("OPTIONS", f"{self._root}/studies", {}))
            except TransientError as error:
                raise NotReachedError(str(error)) from error
            if reply.status in http_status.NOT_NOW:
                raise _not_now(self._callee.named, reply)
            if reply.status == _UNAUTHORISED[0]:
                raise NotAdmittedError(f"{self._callee.named} {http_status.said(reply.status)}")
            yield _StowSender(self._root, self._callee.named, caller, self._known, self.has_instance)

    def try_out(self) -> None:
        """Ask for a study that nobody has; raises as `find_study` does."""
        self.find_study("2.25.0", ["PatientID"])

    @contextmanager
    def _calling(self) -> Iterator[WebCaller]:
        with ExitStack() as opened:
            try:
                caller = opened.enter_context(calling(self._callee, self._login))
            except TransientError as error:
                raise NotReachedError(str(error)) from error
            yield caller

    def _find(self, path: str, keywords: Sequence[str], **matching: str) -> list[Mapping[str, str]]:
        """Every answer, page by page where it says that there are more (PS3.18 8.3.4.4)."""
        fields = [("includefield", tag) for tag in web_model.tags_of(keywords)]
        found: list[Mapping[str, str]] = []
        with self._calling() as caller:
            for _ in range(_MOST_PAGES):
                more = [("offset", str(len(found)))] if found else []
                query = urlencode([*matching.items(), *fields, *more], quote_via=quote)
                request = WebRequest("GET", f"{self._root}/{path}{'?' if query else ''}{query}", {"Accept": _JSON})
                reply = _asked(caller, request)
                page = self._read(reply)
                found += [{keyword: web_model.text(each, keyword) for keyword in keywords} for each in page]
                if not page or not reply.warning.startswith("299"):
                    return found
        raise TransientError(f"{self._callee.named} has more answers than anybody can read")

    def _read(self, reply: WebReply) -> list[web_model.Attributes]:
        name, status = self._callee.named, reply.status
        if status == 204:
            return []
        if status in _UNAUTHORISED:
            raise NotAdmittedError(f"{name} {http_status.said(status)}")
        if status in http_status.NOT_NOW:
            raise _not_now(name, reply)
        if status != 200:
            kind = TransientError if status >= 500 and status != 501 else PermanentError
            raise kind(f"{name} {http_status.said(status)} to QIDO-RS")
        if reply.body is None:
            raise TransientError(f"{name} gives an answer of more than {_MOST >> 20} MiB, or compressed, to QIDO-RS")
        try:
            return web_model.from_json(reply.body)
        except ValueError:
            raise TransientError(f"{name} gives an answer to QIDO-RS that is not the DICOM JSON Model") from None


def _of_study(study_instance_uid: str) -> str:
    return f"studies/{_uid(study_instance_uid)}"


def _uid(text: str) -> str:
    """A UID as a part of a path; PermanentError where it would be a path of its own."""
    if not is_acceptable_uid(text) or not text.strip("."):
        raise PermanentError("what is not a UID cannot be asked for by QIDO-RS")
    return text


def _asked(caller: WebCaller, request: WebRequest) -> WebReply:
    """With errors of a conversation as whoever delivers knows them."""
    try:
        return caller.ask(request, _MOST)
    except NotConnectedError as error:
        raise NotReachedError(str(error)) from error
    except PermanentError as error:
        raise NotAdmittedError(str(error)) from error


def _not_now(name: str, reply: WebReply) -> NotReachedError:
    return NotReachedError(f"{name} {http_status.said(reply.status)}", reply.again_after)


class StowMemory:
    """What one destination is known for, for the threads that send there."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._refused: dict[Kind, float] = {}
        self._unsure: dict[str, None] = {}

    def refuse(self, kind: Kind) -> None:
        """It does not take this transfer syntax of this SOP class."""
        with self._lock:
            self._refused[kind] = time.monotonic()

    def accepts(self, kind: Kind) -> bool:
        """Whether it has not been refused of late."""
        with self._lock:
            return time.monotonic() - self._refused.get(kind, -_REFUSED_FOR) >= _REFUSED_FOR

    def doubt(self, sop_instance_uid: str) -> None:
        """No answer came to this object: it may be there."""
        with self._lock:
            if len(self._unsure) >= _MOST_UNSURE:
                self._unsure.clear()  # sent again without a question: the same object under the same UID
            self._unsure[sop_instance_uid] = None

    def take_doubt(self, sop_instance_uid: str) -> bool:
        """Whether it may be there; asked once."""
        with self._lock:
            return self._unsure.pop(sop_instance_uid, sop_instance_uid) is None


class _StowSender:
    """See `node.deliver.ways.archive.Sender`."""

    def __init__(
        self,
        root: str,
        name: str,
        caller: WebCaller,
        known: StowMemory,
        has_instance: Callable[[str, str, str], bool],
    ) -> None:
        self._url, self._name = f"{root}/studies", name
        self._caller, self._known, self._has_instance = caller, known, has_instance
        self.is_open = True

    def accepts(self, sop_class: str, transfer_syntax: str) -> bool:
        """Nothing is agreed beforehand: all that it has not refused."""
        return self._known.accepts((sop_class, transfer_syntax))

    def store(self, file: Path) -> Answer:
        """STOW-RS, one object."""
        try:
            found = read_object(file)
        except PermanentError as error:
            return Answer(AnswerReading.DEAD_LETTER, str(error))
        if not self._known.accepts(found.kind):
            said = f"{named(found.sop_class_uid)} in transfer syntax {named(found.transfer_syntax_uid)}"
            return Answer(AnswerReading.KIND_REFUSED, f"{self._name} takes no {said}")
        if self._known.take_doubt(found.sop_instance_uid) and self._is_there(found):
            told = "stored at an earlier try, to which no answer came"
            return Answer(AnswerReading.STORED, told, http_status.code(200))
        try:
            reply = self._caller.ask(_request(self._url, file), store_response.MOST)
        except PermanentError as error:  # no token for us
            return Answer(AnswerReading.RETRY_SLOWLY, str(error))
        except NotConnectedError as error:
            self.is_open = False
            return Answer(AnswerReading.RETRY, str(error))
        except TransientError as error:
            self.is_open = False
            self._known.doubt(found.sop_instance_uid)
            return Answer(AnswerReading.UNKNOWN, str(error))
        except OSError as error:
            return Answer(AnswerReading.RETRY, f"{file.name} cannot be read: {error.strerror}")
        return self._read(reply, found)

    def _is_there(self, found: StoredObject) -> bool:
        """Asked where an earlier try got no answer; what cannot be asked is sent again, under the same UID."""
        try:
            with found.path.open("rb") as opened:
                contents = read_as_far_as_possible(opened)
            return self._has_instance(contents.text(STUDY), contents.text(SERIES), found.sop_instance_uid)
        except (TransientError, PermanentError, OSError):
            return False

    def _read(self, reply: WebReply, found: StoredObject) -> Answer:
        answer = store_response.answer_of(reply, found.sop_instance_uid, self._name)
        if answer.reading is AnswerReading.UNKNOWN:
            self._known.doubt(found.sop_instance_uid)
        if answer.code not in (SYNTAX_REFUSED, _MEDIA_TYPE_REFUSED):
            return answer
        self._known.refuse(found.kind)
        if acceptable(self.accepts, found.kind) is None:
            return Answer(AnswerReading.KIND_REFUSED, answer.text, answer.code)
        return Answer(AnswerReading.RETRY, f"{answer.text}; it is sent in another transfer syntax", answer.code)


def _request(url: str, file: Path) -> WebRequest:
    """A body of one part (RFC 2387), whose content is read as it is sent."""
    boundary = f"pacsnode-{uuid4().hex}"
    before = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    after = f"\r\n--{boundary}--\r\n".encode()
    length = len(before) + file.stat().st_size + len(after)

    def pieces() -> Iterator[bytes]:
        yield before
        with file.open("rb") as opened:
            while piece := opened.read(_PIECE):
                yield piece
        yield after

    headers = {
        "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
        "Content-Length": str(length),
        "Accept": _JSON,
    }
    return WebRequest("POST", url, headers, pieces)

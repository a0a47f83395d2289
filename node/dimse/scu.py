"""Calling other AEs: the association, and what is sure to go wrong with it; C-ECHO, C-FIND, and a probe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pynetdicom import evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import A_ASSOCIATE, MaximumLengthNotification, SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import (  # type: ignore[attr-defined] # made at run time
    StudyRootQueryRetrieveInformationModelFind,
    Verification,
)

from node.dimse.contexts import MAXIMUM_CONTEXTS, UNCOMPRESSED, one_context_each
from node.dimse.engine.requesting import close, connection_opened, forget_unusable, hold_reactor
from node.dimse.status import FindReading, read_find_status, status_text
from node.dimse.tls import ClientContext, Credentials, client_context
from node.errors import PermanentError, TransientError
from node.spool import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

_OVERHEAD = 7
"""Bytes of a PDU that are none of its one fragment, and one: the header of a presentation data value and a byte."""


@dataclass(frozen=True, slots=True)
class Peer:
    """An AE to be called."""

    host: str
    port: int
    ae_title: str
    calling_ae_title: str
    timeout: float = 60.0
    """Seconds: for the connection, for its longest silence, and for one of its answers."""
    tls: Credentials | None = None
    """None: plain TCP."""

    def __str__(self) -> str:
        return f"{self.ae_title} at {self.host}:{self.port}"


class UnreachableError(TransientError):
    """Nobody answers there, or the association broke off."""


class BusyError(TransientError):
    """The association was rejected for now (PS3.8 Table 9-21, result 2)."""


class RejectedError(PermanentError):
    """The association was rejected for good: somebody has to change a configuration, here or there."""


class ContextRefusedError(PermanentError):
    """The peer accepted no presentation context for what was asked."""


_REASONS = {
    (1, 1): "it gives no reason",
    (1, 2): "it does not support DICOM's application context",
    (1, 3): "it does not know our AE title {calling}",
    (1, 7): "it is not called {called}",
    (2, 1): "it gives no reason",
    (2, 2): "it does not support the protocol version",
    (3, 1): "temporary congestion",
    (3, 2): "its limit of associations is reached",
}
"""Source and reason of an A-ASSOCIATE-RJ (PS3.8 Table 9-21)."""


@contextmanager
def associated(
    peer: Peer,
    contexts: Sequence[PresentationContext],
    roles: Sequence[SCP_SCU_RoleSelectionNegotiation] = (),
    handlers: Sequence[evt.EventHandlerType] = (),
) -> Iterator[Association]:
    """An association with a peer, released at the end.

    Raises UnreachableError, BusyError, RejectedError, or ContextRefusedError where no context was accepted.
    """
    attempt = _Attempt(peer, _tls(peer))
    association = attempt.associate(contexts, roles, handlers)
    try:
        if not association.is_established:
            raise attempt.failure(association)
        _agree_on_length(peer, association)
        forget_unusable(association)
        if not association.accepted_contexts:
            raise ContextRefusedError(f"{peer} accepts none of what was proposed")
        hold_reactor(association)
        yield association
        if association.is_established:
            association.release()
    finally:
        if association.is_established:
            association.abort()
        close(association)


def _agree_on_length(peer: Peer, association: Association) -> None:
    """How long our P-DATA-TF PDUs may be (PS3.8 D.1): without the item, or with 0, as long as we like.

    Raises RejectedError where no message fits into what the peer takes.
    """
    acceptor = association.acceptor
    stated = acceptor.maximum_length
    if stated is None:
        item = MaximumLengthNotification()
        item.maximum_length_received = 0
        if acceptor.primitive is not None:
            acceptor.primitive.user_information.append(item)
    elif 0 < stated <= _OVERHEAD:
        raise RejectedError(f"{peer} takes P-DATA-TF PDUs of {stated} bytes at most: no message fits into them")


def accepted_kinds(association: Association) -> set[tuple[str, str]]:
    """SOP class and transfer syntax of each context that the peer accepted."""
    return {(str(each.abstract_syntax), str(each.transfer_syntax[0])) for each in association.accepted_contexts}


def _tls(peer: Peer) -> ClientContext | None:
    """RejectedError where our own files cannot be used."""
    if peer.tls is None:
        return None
    try:
        return client_context(peer.tls)
    except OSError as error:  # ssl.SSLError is one
        raise RejectedError(f"{peer}: certificates or key cannot be read: {error}") from error


@dataclass(slots=True)
class _Attempt:
    """Asking one peer for one association."""

    peer: Peer
    tls: ClientContext | None
    connected: bool = False

    def associate(
        self,
        contexts: Sequence[PresentationContext],
        roles: Sequence[SCP_SCU_RoleSelectionNegotiation],
        handlers: Sequence[evt.EventHandlerType],
    ) -> Association:
        """The association, established or not; UnreachableError where the peer's name does not resolve."""
        peer = self.peer
        entity = ApplicationEntity(peer.calling_ae_title)
        entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        entity.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        entity.acse_timeout = entity.dimse_timeout = entity.connection_timeout = peer.timeout
        entity.network_timeout = None  # silence between two of our requests is ours
        try:
            return entity.associate(
                peer.host,
                peer.port,
                contexts=list(contexts),
                ae_title=peer.ae_title,
                evt_handlers=[(evt.EVT_CONN_OPEN, self._opened), *handlers],
                ext_neg=list(roles),
                tls_args=(self.tls, peer.tls.server_name) if self.tls and peer.tls else None,
            )
        except OSError as error:
            raise UnreachableError(f"{peer}: {error.strerror or error}") from error
        except UnicodeError as error:
            raise RejectedError(f"{peer}: the host is no name or address of a machine") from error

    def _opened(self, event: evt.Event) -> None:
        self.connected = True
        connection_opened(event, self.peer.timeout)

    def failure(self, association: Association) -> TransientError | PermanentError:
        """Why there is no association."""
        peer, answer = self.peer, association.acceptor.primitive
        if association.is_rejected and isinstance(answer, A_ASSOCIATE):
            return _rejection(peer, answer)
        if not self.connected:
            return UnreachableError(self._no_connection())
        if isinstance(answer, A_ASSOCIATE) and answer.result == 0:
            return ContextRefusedError(f"{peer} accepts none of what was proposed")
        doubt = "; does it ask for a certificate, and accept ours?" if self.tls else ""  # TLS 1.3 tells no sooner
        return UnreachableError(f"{peer} took the connection but did not answer the association request{doubt}")

    def _no_connection(self) -> str:
        if self.tls and self.tls.refused:
            return f"{self.peer} shows a certificate that is not accepted: {self.tls.refused}"
        if self.tls and self.tls.failed:
            doubt = "does it speak TLS 1.2 or later there, and accept our certificate?"
            return f"{self.peer}: no TLS connection: {self.tls.failed}; {doubt}"
        return f"{self.peer}: no connection; is it running, and does no firewall stand between?"


def _rejection(peer: Peer, answer: A_ASSOCIATE) -> RejectedError | BusyError:
    source, reason = answer.result_source or 0, answer.diagnostic or 0
    words = _REASONS.get((source, reason), f"source {source}, reason {reason}")
    text = f"{peer} rejects the association: {words}".format(calling=peer.calling_ae_title, called=peer.ae_title)
    return RejectedError(text) if answer.result == 1 else BusyError(text)


def echo(peer: Peer) -> None:
    """C-ECHO. Raises as `associated` does; UnreachableError also where the answer is missing or no success."""
    with associated(peer, [build_context(Verification, list(UNCOMPRESSED))]) as association:
        status = status_of(association.send_c_echo())
    if status != 0x0000:
        raise UnreachableError(f"{peer} answers the C-ECHO with {status_text(status)}")


def probe(peer: Peer, sop_classes: Sequence[str], transfer_syntaxes: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Which of these transfer syntaxes a peer accepts for each SOP class; none where it refuses the class.

    Each pair is proposed in a context of its own, in as many associations as that takes. Raises as
    `associated` does, but for a peer that accepts nothing.
    """
    pairs = [(sop_class, syntax) for sop_class in sop_classes for syntax in transfer_syntaxes]
    accepted: set[tuple[str, str]] = set()
    for start in range(0, len(pairs), MAXIMUM_CONTEXTS):
        try:
            with associated(peer, one_context_each(pairs[start : start + MAXIMUM_CONTEXTS])) as association:
                accepted |= accepted_kinds(association)
        except ContextRefusedError:
            continue
    return {name: tuple(each for each in transfer_syntaxes if (name, each) in accepted) for name in sop_classes}


def find_study(peer: Peer, study_instance_uid: str, keywords: Sequence[str]) -> list[dict[str, str]]:
    """What a peer says of a study: one mapping of keyword to text a match, empty where it has none.

    C-FIND, Study Root, study level (PS3.4 C.6.2). Text is decoded by the answer's own SpecificCharacterSet;
    values are joined by backslashes; what was not answered is empty. Raises as `associated` does; also
    TransientError or PermanentError by the status of the answer.
    """
    return find(peer, "STUDY", {"StudyInstanceUID": study_instance_uid}, keywords)


def has_instance(peer: Peer, study_instance_uid: str, series_instance_uid: str, sop_instance_uid: str) -> bool:
    """Whether a peer holds this SOP instance: C-FIND at image level. Raises as `find_study` does."""
    keys = {
        "StudyInstanceUID": study_instance_uid,
        "SeriesInstanceUID": series_instance_uid,
        "SOPInstanceUID": sop_instance_uid,
    }
    return any(match["SOPInstanceUID"] == sop_instance_uid for match in find(peer, "IMAGE", keys, ()))


def find(peer: Peer, level: str, keys: Mapping[str, str], keywords: Sequence[str]) -> list[dict[str, str]]:
    """C-FIND, Study Root, at a level, by these keys; raises as `find_study` does."""
    query = Dataset()
    query.QueryRetrieveLevel = level
    for keyword in keywords:
        setattr(query, keyword, None)
    for keyword, value in keys.items():
        setattr(query, keyword, value or None)
    model = StudyRootQueryRetrieveInformationModelFind
    matches = []
    with associated(peer, [build_context(model, list(UNCOMPRESSED))]) as association:
        for answer, identifier in association.send_c_find(query, model):
            status = status_of(answer)
            match read_find_status(status):
                case FindReading.MATCH if identifier is not None:
                    matches.append(_texts(identifier, (*keys, *keywords)))
                case FindReading.END:
                    return matches
                case FindReading.REFUSED:
                    raise PermanentError(f"{peer} refuses the C-FIND: {status_text(status)}")
                case _:
                    raise TransientError(f"{peer} fails the C-FIND: {_why_none(peer, status)}")
    raise TransientError(f"{peer} did not finish the C-FIND")


def _why_none(peer: Peer, status: int | None) -> str:
    """Orthanc, for one, says no in no other way than by breaking off."""
    if status is not None:
        return status_text(status)
    return f"it broke off without an answer; does its configuration let {peer.calling_ae_title} query?"


def _texts(identifier: Dataset, keywords: Sequence[str]) -> dict[str, str]:
    identifier.decode()
    return {keyword: _text(identifier.get(keyword)) for keyword in keywords}


def _text(value: object) -> str:
    if value is None:
        return ""
    return "\\".join(map(str, value)) if isinstance(value, MultiValue | list) else str(value)


def status_of(answer: Dataset) -> int | None:
    """The status of a response; None where pynetdicom says by an empty data set that none came, or it is no number."""
    return number_of(answer, "Status")


def number_of(answer: Dataset, keyword: str) -> int | None:
    """A number in a response; None where it is missing, empty or not one."""
    value = answer.get(keyword)
    return value if isinstance(value, int) else None

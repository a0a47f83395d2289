"""Calling other AEs: the association, and what is sure to go wrong with it; C-ECHO, C-FIND, and a probe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.pdu_primitives import A_ASSOCIATE, SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import (  # type: ignore[attr-defined] # made at run time
    StudyRootQueryRetrieveInformationModelFind,
    Verification,
)

from node.dicom.values import value_text
from node.dimse.contexts import MAXIMUM_CONTEXTS, UNCOMPRESSED, one_context_each
from node.dimse.engine.requesting import RequestingAssociation, close, hold_reactor
from node.dimse.status import FindReading, read_find_status, status_text
from node.dimse.tls import ClientContext, Credentials, client_context
from node.errors import PermanentError, TransientError
from node.ourselves import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME


@dataclass(frozen=True, slots=True)
class Peer:
    """An AE to be called."""

    host: str
    port: int
    ae_title: str
    calling_ae_title: str
    timeout: float = 60.0
    """Seconds: for the association from connecting to its acceptance, for one PDU, and for one response."""
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


_FIND_WAITS = 5
"""How often the time for one response all those of a C-FIND may take."""
_MOST_MATCHES, _MOST_TEXT = 2000, 8 << 20
"""Matches of a C-FIND, and characters in them: many times what one study or one patient has."""
_MOST_OF_ONE_STUDY = 100
"""Matches of a C-FIND for one Study Instance UID: an archive has one, and odd ones a few."""

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
) -> Iterator[RequestingAssociation]:
    """An association with a peer, released at the end; each request on it has an `exchange`.

    Raises UnreachableError, BusyError, RejectedError, or ContextRefusedError where no context was accepted.
    """
    attempt = _AssociationAttempt(peer, _tls(peer))
    association = attempt.association(contexts, roles, handlers)
    try:
        association.request()
        if not association.is_established:
            raise attempt.failure(association)
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


def accepted_kinds(association: RequestingAssociation) -> set[tuple[str, str]]:
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
class _AssociationAttempt:
    """Asking one peer for one association."""

    peer: Peer
    tls: ClientContext | None

    def association(
        self,
        contexts: Sequence[PresentationContext],
        roles: Sequence[SCP_SCU_RoleSelectionNegotiation],
        handlers: Sequence[evt.EventHandlerType],
    ) -> RequestingAssociation:
        """The association, to be requested; UnreachableError where the peer's name does not resolve."""
        peer = self.peer
        entity = ApplicationEntity(peer.calling_ae_title)
        entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        entity.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        try:
            association = RequestingAssociation(entity, peer.ae_title, (peer.host, peer.port), peer.timeout)
        except OSError as error:
            raise UnreachableError(f"{peer}: {error.strerror or error}") from error
        except UnicodeError as error:
            raise RejectedError(f"{peer}: the host is not a name or address of a machine") from error
        association.propose(contexts, roles)
        if self.tls and peer.tls:
            association.connection.tls_args = self.tls, peer.tls.server_name or peer.host
        for handler in handlers:
            association.bind(*handler)
        return association

    def failure(self, association: RequestingAssociation) -> TransientError | PermanentError:
        """Why there is no association."""
        peer, answer = self.peer, association.acceptor.primitive
        if association.is_rejected and isinstance(answer, A_ASSOCIATE):
            return _rejection(peer, answer)
        if not association.connection.opened:
            return UnreachableError(self._no_connection())
        if isinstance(answer, A_ASSOCIATE) and answer.result == 0:
            return ContextRefusedError(f"{peer} accepts none of what was proposed")
        if association.protocol_broken:
            return UnreachableError(f"{peer} answers the association request against PS3.8: {association.reason}")
        doubt = "; does it ask for a certificate, and accept ours?" if self.tls else ""  # TLS 1.3 tells no sooner
        why = f": {association.reason}" if association.reason else f" in {peer.timeout:g} s"
        return UnreachableError(f"{peer} took the connection but did not answer the association request{why}{doubt}")

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
        with association.exchange(peer.timeout):
            status = status_of(association.send_c_echo())
        if status is None and association.reason:
            raise UnreachableError(f"{peer} does not answer the C-ECHO: {association.reason}")
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
    return find(peer, "STUDY", {"StudyInstanceUID": study_instance_uid}, keywords, most=_MOST_OF_ONE_STUDY)


def has_instance(peer: Peer, study_instance_uid: str, series_instance_uid: str, sop_instance_uid: str) -> bool:
    """Whether a peer holds this SOP instance: C-FIND at image level. Raises as `find_study` does."""
    keys = {
        "StudyInstanceUID": study_instance_uid,
        "SeriesInstanceUID": series_instance_uid,
        "SOPInstanceUID": sop_instance_uid,
    }
    return any(match["SOPInstanceUID"] == sop_instance_uid for match in find(peer, "IMAGE", keys, ()))


def find(
    peer: Peer, level: str, keys: Mapping[str, str], keywords: Sequence[str], most: int | None = None
) -> list[dict[str, str]]:
    """C-FIND, Study Root, at a level, by these keys; raises as `find_study` does, also at more than `most` matches."""
    query = Dataset()
    query.QueryRetrieveLevel = level
    for keyword in keywords:
        setattr(query, keyword, None)
    for keyword, value in keys.items():
        setattr(query, keyword, value or None)
    with (
        associated(
            peer, [build_context(StudyRootQueryRetrieveInformationModelFind, list(UNCOMPRESSED))]
        ) as association,
        association.exchange(_FIND_WAITS * peer.timeout),
    ):
        return _matches(peer, association, query, (*keys, *keywords), most or _MOST_MATCHES)


def _matches(
    peer: Peer, association: RequestingAssociation, query: Dataset, keywords: Sequence[str], most: int
) -> list[dict[str, str]]:
    matches: list[dict[str, str]] = []
    characters = 0
    for answer, identifier in association.send_c_find(query, StudyRootQueryRetrieveInformationModelFind):
        status = status_of(answer)
        match read_find_status(status):
            case FindReading.MATCH if identifier is not None:
                matches.append(_texts(peer, identifier, keywords))
                characters += sum(map(len, matches[-1].values()))
                if len(matches) > most or characters > _MOST_TEXT:
                    raise TransientError(
                        f"{peer} fails the C-FIND: its answers do not end after {len(matches)} matches"
                    )
            case FindReading.END:
                return matches
            case FindReading.REFUSED:
                raise PermanentError(f"{peer} refuses the C-FIND: {status_text(status)}")
            case _:
                raise TransientError(f"{peer} fails the C-FIND: {_why_none(peer, status, association.reason)}")
    raise TransientError(f"{peer} did not finish the C-FIND")


def _why_none(peer: Peer, status: int | None, reason: str) -> str:
    """Orthanc, for one, says no in no other way than by breaking off."""
    if status is not None:
        return status_text(status)
    why = f" ({reason})" if reason else ""
    return f"it broke off without an answer{why}; does its configuration let {peer.calling_ae_title} query?"


def _texts(peer: Peer, identifier: Dataset, keywords: Sequence[str]) -> dict[str, str]:
    """TransientError where the match cannot be read."""
    try:
        identifier.decode()
        return {keyword: value_text(identifier.get(keyword)) for keyword in keywords}
    except Exception as error:  # whatever pydicom raises at values and character sets of a peer
        # without its message, which may hold a patient's data
        raise TransientError(f"{peer} fails the C-FIND: a match that cannot be read") from error


def status_of(answer: Dataset) -> int | None:
    """The status of a response; None where none came (pynetdicom: an empty data set), or it is not a number."""
    return number_of(answer, "Status")


def number_of(answer: Dataset, keyword: str) -> int | None:
    """A number in a response; None where it is missing, empty or not one."""
    value = answer.get(keyword)
    return value if isinstance(value, int) else None

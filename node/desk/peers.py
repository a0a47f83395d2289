"""Other AEs, called by hand: who is meant, whether it is there, and what it takes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from node.config.destinations import Destination, dicom_destinations
from node.config.models import Configuration, NodeSettings
from node.config.problems import ConfigurationError, closest
from node.config.values import check_ae_title
from node.deliver.ways.dimse import peer_of
from node.desk import site
from node.desk.actor import Actor
from node.desk.rights import Right, require
from node.dicom import report_classes
from node.dicom.compressing import COMPRESSED
from node.dimse import scu
from node.dimse.addresses import own_names
from node.dimse.commitment import PUSH_MODEL
from node.dimse.contexts import UNCOMPRESSED
from node.dimse.scu import Peer
from node.dimse.tls import Credentials
from node.errors import LedgerError, NodeError, NotFoundError, UsageError
from node.ledger import outages
from node.run.boxes.calling import peer_of as box_peer

_PEER = re.compile(r"(?P<title>[^@]+)@(?P<host>\[[0-9A-Fa-f:.]+\]|[^:@\s]+):(?P<port>\d{1,5})")
_OWN_TITLE = "PACSNODE"
"""What we call ourselves where no configuration says it."""
_NO_STUDY = "2.25.0"
"""A Study Instance UID that no study has: asking for it shows whether C-FIND is answered at all."""

RESULT_CLASSES = {
    **{report_classes.NAMES[each]: report_classes.SOP_CLASSES[each] for each in report_classes.NAMES},
    "Secondary Capture": "1.2.840.10008.5.1.4.1.1.7",
    "Multi-frame True Color Secondary Capture": "1.2.840.10008.5.1.4.1.1.7.4",
    "Segmentation": "1.2.840.10008.5.1.4.1.1.66.4",
    "Label Map Segmentation": "1.2.840.10008.5.1.4.1.1.66.7",
    "Parametric Map": "1.2.840.10008.5.1.4.1.1.30",
    "Grayscale Softcopy Presentation State": "1.2.840.10008.5.1.4.1.1.11.1",
    "Key Object Selection": "1.2.840.10008.5.1.4.1.1.88.59",
    "RT Structure Set": "1.2.840.10008.5.1.4.1.1.481.3",
    "Encapsulated PDF": "1.2.840.10008.5.1.4.1.1.104.1",
}
"""SOP classes that results can have (PS3.4 B.5)."""


@dataclass(frozen=True, slots=True)
class NamedPeer:
    """Who is meant by a name."""

    peer: Peer
    destination: Destination | None
    """Where the configuration has it."""
    warning: str | None = None


@dataclass(frozen=True, slots=True)
class Probe:
    """What a peer takes."""

    accepted: Mapping[str, tuple[str, ...]]
    """Transfer syntaxes, by SOP class of results; none where it refuses the class."""
    refusal: str | None
    """Why it does not answer a C-FIND; None where it does."""
    commits: bool
    """Whether it accepts to be asked for storage commitment."""


def named(name: str, config: Path) -> NamedPeer:
    """Who is meant by the name of a destination or a box, or by `AET@host:port`; UsageError, ConfigurationError.

    For `AET@host:port` no configuration is needed; where there is a right one, we call ourselves as it says, and our
    own TLS port by TLS.
    """
    found = written(name)
    if found is None:
        configuration = site.load(config)
        destination = dicom_destinations(configuration.destinations).get(name)
        if destination is None and name in configuration.boxes:
            return NamedPeer(box_peer(configuration.boxes[name], configuration.node.ae_title), None)
        if destination is None and name in configuration.destinations:
            kind = configuration.destinations[name].kind
            raise UsageError(f"{name} is of kind {kind}: this needs a destination or box that speaks DIMSE")
        if destination is None:
            raise UsageError(_unknown(name, configuration))
        return NamedPeer(peer_of(destination, configuration.node.ae_title), destination)
    title, host, port = found
    node, warning = _own_settings(config)
    own = node.ae_title if node is not None else _OWN_TITLE
    tls = _own_credentials(host, port, node) if node is not None else None
    return NamedPeer(Peer(host, port, title, own, tls=tls), None, warning)


def written(text: str) -> tuple[str, str, int] | None:
    """AE title, host and port of `AET@host:port`; None where it is not of that form; UsageError."""
    found = _PEER.fullmatch(text)
    if found is None:
        return None
    title = ae_title(found["title"])
    if not 1 <= int(found["port"]) <= 65535:
        raise UsageError(f"{found['port']} is not a port: 1 to 65535")
    return title, found["host"].strip("[]"), int(found["port"])


def probe(peer: Peer) -> Probe:
    """Ask which kinds of result it accepts, and whether it answers C-FIND and takes requests for storage commitment.

    Raises what `scu.probe` raises.
    """
    accepted = scu.probe(peer, list(RESULT_CLASSES.values()), [*UNCOMPRESSED, *COMPRESSED])
    commits = bool(scu.probe(peer, [PUSH_MODEL], UNCOMPRESSED)[PUSH_MODEL])
    try:
        scu.find_study(peer, _NO_STUDY, ["PatientID"])
    except NodeError as error:
        return Probe(accepted, str(error), commits)
    return Probe(accepted, None, commits)


def answered(name: str, config: Path, at: datetime, by: Actor, *, questions: bool) -> None:
    """A destination of this name answered a test: what waits for it is sent now. `questions`: C-FIND, too.

    Nothing where it was reached all the time, or where no node has been started here.
    """
    require(by, Right.ACT)
    if _PEER.fullmatch(name) is not None:
        return
    try:
        ledger = site.open_ledger(site.load(config))
    except (NotFoundError, LedgerError):
        return  # the test is over, and was passed: that there is no ledger to note it in is not for this command
    with ledger.transaction() as database:
        outages.answered(database, at, name, str(by), questions=questions)


def ae_title(text: str) -> str:
    """The text as an AE title; UsageError."""
    try:
        return check_ae_title(text)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _own_settings(config: Path) -> tuple[NodeSettings | None, str | None]:
    """What the configuration says of ourselves, and what is to be said about it."""
    if not config.exists():
        return None, None
    try:
        return site.load(config).node, None
    except ConfigurationError:
        return None, f"{config} has problems (pacsnode check); calling as {_OWN_TITLE}"


def _own_credentials(host: str, port: int, node: NodeSettings) -> Credentials | None:
    """What a call to our own TLS port rests on: our own certificate at both ends, whatever names it has."""
    tls = node.listen.tls
    if tls is None or port != tls.port or host not in own_names(node.listen.host):
        return None
    return Credentials(tls.certificate, tls.certificate, tls.key, server_name=None)


def _unknown(name: str, configuration: Configuration) -> str:
    known = [*dicom_destinations(configuration.destinations), *configuration.boxes]
    meant = closest(name, known)
    hint = f'did you mean "{meant}"?' if meant else f"there is {', '.join(known)}" if known else "there is none"
    return f'the configuration has no destination or box "{name}"; {hint} (or write AET@host:port)'

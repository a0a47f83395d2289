"""Other AEs, called by hand: who is meant, whether it is there, and what it takes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from node.config.models import Configuration, Destination
from node.config.problems import ConfigurationError, closest
from node.config.values import check_ae_title
from node.deliver.ways.dimse import peer_of
from node.desk import site
from node.dicom import report_classes
from node.dimse import scu
from node.dimse.contexts import UNCOMPRESSED
from node.dimse.scu import Peer
from node.errors import NodeError, UsageError

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


def named(name: str, config: Path) -> NamedPeer:
    """Who is meant by a destination's name or by `AET@host:port`; UsageError, ConfigurationError.

    For `AET@host:port` no configuration is needed; where there is a right one, we call ourselves as it says.
    """
    written = _PEER.fullmatch(name)
    if written is None:
        configuration = site.load(config)
        destination = configuration.destinations.get(name)
        if destination is None:
            raise UsageError(_unknown(name, configuration))
        return NamedPeer(peer_of(destination, configuration.node.ae_title), destination)
    title = ae_title(written["title"])
    if not 1 <= int(written["port"]) <= 65535:
        raise UsageError(f"{written['port']} is not a port: 1 to 65535")
    own, warning = _own_title(config)
    return NamedPeer(Peer(written["host"].strip("[]"), int(written["port"]), title, own), None, warning)


def probe(peer: Peer) -> Probe:
    """Ask which kinds of result it accepts, and whether it answers C-FIND; what `scu.probe` raises."""
    accepted = scu.probe(peer, list(RESULT_CLASSES.values()), list(UNCOMPRESSED))
    try:
        scu.find_study(peer, _NO_STUDY, ["PatientID"])
    except NodeError as error:
        return Probe(accepted, str(error))
    return Probe(accepted, None)


def ae_title(text: str) -> str:
    """The text as an AE title; UsageError."""
    try:
        return check_ae_title(text)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _own_title(config: Path) -> tuple[str, str | None]:
    """What we call ourselves, and what is to be said about it."""
    if not config.exists():
        return _OWN_TITLE, None
    try:
        return site.load(config).node.ae_title, None
    except ConfigurationError:
        return _OWN_TITLE, f"{config} has problems (pacsnode check); calling as {_OWN_TITLE}"


def _unknown(name: str, configuration: Configuration) -> str:
    known = list(configuration.destinations)
    meant = closest(name, known)
    hint = f'did you mean "{meant}"?' if meant else f"there is {', '.join(known)}" if known else "there is none"
    return f'the configuration has no destination "{name}"; {hint} (or write AET@host:port)'

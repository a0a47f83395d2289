"""The network: our ports, the peers that are called, long messages on the way there, and who has never called back."""

from __future__ import annotations

import errno
import socket
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psutil

from node.config.destinations import Destination, DicomDestination, dicom_destinations
from node.config.models import Configuration
from node.config.web_destinations import DicomWebDestination
from node.deliver.ways.dimse import peer_of
from node.desk import peers, ways_out
from node.desk.doctor.finding import Diagnosis, DoctorFinding
from node.desk.peers import Probe
from node.dimse import scu
from node.dimse.scu import ContextRefusedError, Peer, RejectedError, UnreachableError
from node.errors import NodeError, PermanentError
from node.store.callers import RefusedCaller

_PATIENCE = 10.0
"""Seconds for a peer to answer somebody who sits before the screen."""
_SIDES = {"port": "DICOM", "tls_port": "DICOM over TLS"}


def ports(configuration: Configuration, running: Mapping[str, Any] | None) -> Iterator[DoctorFinding]:
    """Whether the node listens where it is configured to; while it does not run, whether it could."""
    listen = configuration.node.listen
    wanted = {"port": plain_port(configuration), "tls_port": listen.tls.port if listen.tls else None}
    for key, port in wanted.items():
        if port is not None:
            name = f"port {port} ({_SIDES[key]})"
            yield _listens(name, running[key]) if running and running.get(key) else _could(name, listen.host, port)


def plain_port(configuration: Configuration) -> int | None:
    """The port without TLS; None where it is off."""
    port = configuration.node.listen.port
    return None if port == "off" else port


def _listens(name: str, port: int) -> DoctorFinding:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE):
        return DoctorFinding(name, Diagnosis.GOOD, "the node listens")
    return DoctorFinding(
        name,
        Diagnosis.DOUBTFUL,
        "the node runs, and takes no connection from this machine itself",
        "That is so where node.listen.host is one address of several, or a firewall is strict;"
        " else look at `pacsnode status`.",
    )


def _could(name: str, host: str, port: int) -> DoctorFinding:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((host, port))
        return DoctorFinding(name, Diagnosis.GOOD, "the node does not run; the port is free for it")
    except OSError as error:
        return _cannot_bind(name, host, port, error)


def _cannot_bind(name: str, host: str, port: int, error: OSError) -> DoctorFinding:
    if error.errno == errno.EADDRINUSE:
        who = _who_listens(port)
        said = f"the port is taken{f' by {who}' if who else ''}"
        return DoctorFinding(name, Diagnosis.WRONG, said, "End that program, or choose another port under node.listen.")
    if error.errno == errno.EACCES:
        step = "`pacsnode install` lets systemd listen there for the node; or use port 11112."
        return DoctorFinding(name, Diagnosis.WRONG, "this user may not listen below port 1024", step)
    if error.errno == errno.EADDRNOTAVAIL:
        step = "Use 0.0.0.0, or an address that `ip address` lists."
        return DoctorFinding(name, Diagnosis.WRONG, f"{host} is not an address of this machine", step)
    return DoctorFinding(name, Diagnosis.WRONG, error.strerror or str(error), "Change node.listen.")


def _who_listens(port: int) -> str:
    with suppress(psutil.Error):
        for each in psutil.net_connections("tcp"):
            if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == port and each.pid:
                return f"{psutil.Process(each.pid).name()}, process {each.pid}"
    return ""


def destinations(configuration: Configuration) -> Iterator[DoctorFinding]:
    """Of DIMSE: an association, a C-ECHO, long messages, C-FIND, storage commitment. Of others: are they there?"""
    for name, other in configuration.destinations.items():
        if not isinstance(other, DicomDestination):
            yield _way_out(f"destination {name}", other)
    for name, each in dicom_destinations(configuration.destinations).items():
        peer = peer_of(each, configuration.node.ae_title)
        patient = replace(peer, timeout=min(peer.timeout, _PATIENCE))
        asked, commits = each.identity_check == "study", each.commitment == "require"
        yield _peer(f"destination {name}", patient, plain_port(configuration), asked=asked, commits=commits)


def _way_out(what: str, destination: Destination) -> DoctorFinding:
    """A destination that does not speak DIMSE."""
    place = destination.place
    try:
        return DoctorFinding(what, Diagnosis.GOOD, f"{place} {ways_out.try_out(_impatient(destination))}")
    except PermanentError as error:
        step = "Compare address, login and rights with those who run it; `pacsnode echo` tries it again."
        return DoctorFinding(what, Diagnosis.WRONG, str(error), step)
    except NodeError as error:
        step = "Is it running, or mounted, and does no firewall stand between? `pacsnode echo` tries it again."
        return DoctorFinding(what, Diagnosis.WRONG, str(error), step)


def _impatient(destination: Destination) -> Destination:
    """For somebody who sits before the screen."""
    if not isinstance(destination, DicomWebDestination):
        return destination
    patience = timedelta(seconds=_PATIENCE)
    return destination.model_copy(update={"timeout": min(destination.timeout, patience), "transfer": patience})


def first_contact(peer: Peer, own_port: int) -> DoctorFinding:
    """A PACS that no configuration has yet."""
    return _peer("PACS", replace(peer, timeout=_PATIENCE), own_port, asked=True, commits=False)


def _peer(what: str, peer: Peer, own_port: int | None, *, asked: bool, commits: bool) -> DoctorFinding:
    """`asked`: which patient the study belongs to; `commits`: it has to take requests for storage commitment."""
    try:
        scu.echo(peer)
    except NodeError as error:
        return DoctorFinding(what, Diagnosis.WRONG, str(error), _step_for(error, peer, own_port))
    try:
        found = peers.probe(peer)
    except (UnreachableError, ContextRefusedError) as error:
        return DoctorFinding(
            what,
            Diagnosis.WRONG,
            f"{peer} answers a C-ECHO, and not a long request for an association: {error}",
            "Long messages may die on the way: look at the MTU of tunnels and firewalls between"
            f" (`ping -M do -s 1472 {peer.host}`), or at inspection of DICOM by a firewall.",
        )
    return _of_probe(what, peer, found, asked=asked, commits=commits)


def _of_probe(what: str, peer: Peer, found: Probe, *, asked: bool, commits: bool) -> DoctorFinding:
    if found.refusal is not None and asked:
        step = (
            f"Let {peer.calling_ae_title} query there (C-FIND, Study Root):"
            " results are held until the PACS has said which patient the study belongs to."
        )
        return DoctorFinding(what, Diagnosis.WRONG, found.refusal, step)
    if commits and not found.commits:
        step = "Have storage commitment switched on there, or set commitment: try."
        return DoctorFinding(what, Diagnosis.WRONG, f"{peer} takes no requests for storage commitment", step)
    lacking = [name for name, uid in peers.RESULT_CLASSES.items() if not found.accepted[uid]]
    also = f"; it refuses {', '.join(lacking)} (`pacsnode echo --probe`)" if lacking else ""
    return DoctorFinding(what, Diagnosis.GOOD, f"{peer} answers, and takes results{also}")


def _step_for(error: NodeError, peer: Peer, own_port: int | None) -> str:
    if isinstance(error, RejectedError) and "does not know our AE title" in str(error):
        return what_to_enter(peer, own_port)
    if isinstance(error, RejectedError):
        return "Compare AE titles, host and port with what the PACS has; AE titles are case-sensitive."
    if isinstance(error, PermanentError):
        return "Look at `pacsnode check`, and at the log of the PACS at this moment."
    return (
        f"Ask whether it runs, and whether a firewall lets this machine ({own_address(peer.host)}) reach"
        f" {peer.host} port {peer.port}."
    )


def what_to_enter(peer: Peer, own_port: int | None) -> str:
    """What the people of a PACS have to enter of us."""
    port = f", port {own_port}" if own_port else ""
    return f"Have it entered in {peer.ae_title}: AE title {peer.calling_ae_title}, host {own_address(peer.host)}{port}."


def own_address(host: str) -> str:
    """The address of this machine that a host sees; its name where no way leads there."""
    with suppress(OSError):
        family, kind, protocol, _, address = socket.getaddrinfo(host, 104, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as asked:  # nothing is sent: the kernel looks at its routes
            asked.connect(address)
            return str(asked.getsockname()[0])
    return socket.gethostname()


def callers(
    configuration: Configuration, heard: Collection[tuple[str, str]], refused: Collection[RefusedCaller]
) -> Iterator[DoctorFinding]:
    """Who of those that may call has not called for a week, and who was refused: one-way firewalls look like that."""
    called = {title for title, _ in heard}
    for each in refused:
        yield DoctorFinding(
            f"caller {each.calling_ae_title}",
            Diagnosis.DOUBTFUL,
            f"{each.address} was refused {each.times} times in the last day: {each.reason}",
            "If it is one of yours, `pacsnode status` says what to enter.",
        )
    known = {f"modality {name}": each.ae_title for name, each in configuration.modalities.items()}
    known |= {
        f"destination {name}": each.ae_title for name, each in dicom_destinations(configuration.destinations).items()
    }
    turned_away = {each.calling_ae_title for each in refused}
    silent = sorted(what for what, title in known.items() if title not in called | turned_away)
    if silent:
        yield DoctorFinding(
            "who calls us",
            Diagnosis.NOT_SEEN,
            f"in the last week nothing was received from {', '.join(silent)}",
            f"If it should send: have it C-ECHO {configuration.node.ae_title} here. "
            "If it gets no answer, and is no refused caller here then, a firewall lets only one direction through.",
        )
    elif known:
        yield DoctorFinding("who calls us", Diagnosis.GOOD, "all that may send have sent in the last week")

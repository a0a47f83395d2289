"""The node and its neighbours: who sends, who was refused, where results go, and what of TLS ends when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from node.config.destinations import Destination, DicomDestination
from node.config.models import Configuration, Modality
from node.config.sections import paths_by_key
from node.deliver.ways.dimse import peer_of
from node.desk import boxes, callers, certificates, destinations, letting_in, peers, services, ways_out
from node.desk.actor import Actor
from node.desk.boxes import BoxCondition
from node.desk.destinations import HoldUp
from node.desk.outcomes import ActionOutcome
from node.desk.peers import RESULT_CLASSES, Probe
from node.desk.rights import Right, require
from node.desk.services import ServiceCondition
from node.dicom import report_classes
from node.dimse import scu
from node.dimse.certificates import ends_at
from node.dimse.scu import Peer
from node.errors import NotFoundError, UsageError
from node.ledger import deliveries, forwards, instances, outages, pauses, queue_ages, refused_callers
from node.ledger.database import Database, Ledger
from node.ledger.delivery import DeliveryStatus
from node.ledger.pauses import Pausable, Pause
from node.run.boxes.calling import peer_of as box_peer
from node.store.callers import Caller, RefusedCaller, open_callers

_REFUSED = 100
_PATIENCE = timedelta(seconds=10)
"""For a peer to answer somebody who sits before the screen."""


@dataclass(frozen=True, slots=True)
class DestinationCondition:
    """How things stand with one destination."""

    name: str
    settings: Destination
    place: str
    """`PACS at 10.0.0.5:104`; of what is not reached by DIMSE its kind."""
    waiting: int
    """Results, and forwarded images, that are to be sent."""
    trouble: int
    """Those that are held or were given up."""
    delivered: int
    oldest: datetime | None
    """Since when the oldest of what waits has waited."""
    last: datetime | None
    """When it accepted something last."""
    hold_ups: Sequence[HoldUp]
    pause: Pause | None

    @property
    def is_reached(self) -> bool:
        """Whether nothing keeps things from being sent."""
        return not self.hold_ups

    @property
    def can_be_probed(self) -> bool:
        """Whether it speaks DIMSE, and can be asked what it takes."""
        return isinstance(self.settings, DicomDestination)


@dataclass(frozen=True, slots=True)
class SenderCondition:
    """Who sends, or may."""

    ae_title: str
    address: str
    """Last seen; empty where nothing came in the last 500 studies."""
    modality: str
    """By the name of the configuration; empty for a sender that it does not name."""
    last: datetime | None
    studies: int
    """Of the last 500."""
    open: int
    """Associations now."""


@dataclass(frozen=True, slots=True)
class SeenCertificate:
    """A certificate of ours."""

    key: str
    """As the configuration names it: `node.listen.tls.certificate`."""
    ends_at: datetime | None
    """None where it cannot be read."""
    severity: str
    """`warning` or `alert` where a person should renew it."""


@dataclass(frozen=True, slots=True)
class RefusedEntry:
    """A caller that was refused in the last 24 hours."""

    caller: RefusedCaller
    remedy: str
    """What to enter, or what to put right there."""
    can_enter: bool
    """Whether the console can enter it."""


@dataclass(frozen=True)
class ConnectionsView:
    """All of it at one moment."""

    destinations: Sequence[DestinationCondition]
    senders: Sequence[SenderCondition]
    refused: Sequence[RefusedEntry]
    boxes: Sequence[BoxCondition]
    services: Sequence[ServiceCondition]
    certificates: Sequence[SeenCertificate]


@dataclass(frozen=True)
class ProbedPeer:
    """What a destination accepts."""

    place: str
    accepted: Mapping[str, bool]
    """Kind of result → whether it takes it."""
    refused_class: str
    """The report class that the configuration states and the peer refuses; empty where there is none."""
    find_refusal: str
    """Why it does not answer C-FIND; empty where it does."""
    commits: bool
    needs_commitment: bool


def look(ledger: Ledger, configuration: Configuration, now: datetime) -> ConnectionsView:
    """Read it; asks nobody."""
    open_now = open_callers(configuration.node.data / "associations")
    with ledger.snapshot() as database:
        refused = refused_callers.recent(database, now, _REFUSED)
        return ConnectionsView(
            destinations=_destinations(database, configuration, now),
            senders=_senders(instances.last_callers(database), configuration.modalities, open_now),
            refused=[_refused(each, configuration) for each in refused],
            boxes=boxes.standing(database, configuration.boxes),
            services=services.standing(database, configuration.services),
            certificates=_certificates(configuration, now),
        )


def _refused(refused: RefusedCaller, configuration: Configuration) -> RefusedEntry:
    can = letting_in.can_enter(refused, configuration)
    return RefusedEntry(refused, callers.to_enter(refused, configuration), can)


def _destinations(database: Database, configuration: Configuration, now: datetime) -> list[DestinationCondition]:
    results, images = deliveries.counts(database), forwards.counts(database)
    oldest = [queue_ages.oldest_results(database), queue_ages.oldest_images(database)]
    hold_ups = destinations.hold_ups(database, configuration, now)
    found = []
    for name, settings in configuration.destinations.items():
        counts = [each.get(name, {}) for each in (results, images)]

        def number(*states: DeliveryStatus, of: Sequence[Mapping[DeliveryStatus, int]] = counts) -> int:
            return sum(each.get(state, 0) for each in of for state in states)

        found.append(
            DestinationCondition(
                name=name,
                settings=settings,
                place=_place(settings),
                waiting=number(DeliveryStatus.WAITING, DeliveryStatus.SENDING),
                trouble=number(DeliveryStatus.HELD, DeliveryStatus.DEAD),
                delivered=number(DeliveryStatus.DELIVERED),
                oldest=min((each[name] for each in oldest if name in each), default=None),
                last=queue_ages.last_sent(database, name),
                hold_ups=hold_ups.get(name, ()),
                pause=pauses.get(database, Pausable.DESTINATION, name),
            )
        )
    return found


def _place(settings: Destination) -> str:
    if isinstance(settings, DicomDestination):
        secured = " over TLS" if settings.tls else ""
        return f"{settings.ae_title} at {settings.host}:{settings.port}{secured}"
    return settings.kind


def _senders(
    seen: Sequence[tuple[str, str, datetime, int]], known: Mapping[str, Modality], open_now: Mapping[Caller, int]
) -> list[SenderCondition]:
    names = {each.ae_title: name for name, each in known.items()}
    found = [
        SenderCondition(title, address, names.get(title, ""), last, studies, open_now.get((title, address), 0))
        for title, address, last, studies in seen
    ]
    there = {(each.ae_title, each.address) for each in found}
    found += [
        SenderCondition(title, address, names.get(title, ""), None, 0, count)
        for (title, address), count in open_now.items()
        if (title, address) not in there
    ]
    silent = names.keys() - {each.ae_title for each in found}
    return [*found, *(SenderCondition(each, "", names[each], None, 0, 0) for each in sorted(silent))]


def _certificates(configuration: Configuration, now: datetime) -> list[SeenCertificate]:
    severities = {key: severity for key, severity, _ in certificates.reminders(configuration, now)}
    found = [(".".join(key), file) for key, file in paths_by_key(configuration) if key[-1] == "certificate"]
    return [SeenCertificate(key, ends_at(file), severities.get(key, "")) for key, file in found]


# --- asking ---------------------------------------------------------------------------------------


def echo(ledger: Ledger, configuration: Configuration, name: str, at: datetime, by: Actor) -> ActionOutcome:
    """Ask a destination, a box or a web service of the configuration whether it is there; nothing else is called.

    What waits for a destination that answers is sent now. Raises NotFoundError, and what the asking raises.
    """
    require(by, Right.ACT)
    service = configuration.services.get(name) if name not in configuration.destinations else None
    if service is not None:
        services.ask(name, service)
        return ActionOutcome(f"{name} ({service.place}) answers", {"service": name, "answers": True})
    settings = configuration.destinations.get(name)
    if settings is not None and not isinstance(settings, DicomDestination):
        did = ways_out.try_out(settings)
        _answered(ledger, configuration, name, at, by, questions=bool(settings.asks_by))
        return ActionOutcome(f"{name} ({settings.kind}) {did}", {"destination": name, "answers": True})
    peer = _peer(configuration, name)
    scu.echo(peer)
    _answered(ledger, configuration, name, at, by, questions=False)
    return ActionOutcome(f"{name} ({peer}) answers", {"destination": name, "answers": True})


def probe(ledger: Ledger, configuration: Configuration, name: str, at: datetime, by: Actor) -> ProbedPeer:
    """Ask a destination of the configuration which results it takes; raises as `echo`."""
    require(by, Right.ACT)
    settings, peer = configuration.destinations.get(name), _peer(configuration, name)
    found = peers.probe(peer)
    _answered(ledger, configuration, name, at, by, questions=found.refusal is None)
    return _probed(peer, settings, found)


def _probed(peer: Peer, settings: Destination | None, found: Probe) -> ProbedPeer:
    stated = settings.encoding.sr_class if settings is not None else None
    refuses = stated is not None and not found.accepted[report_classes.SOP_CLASSES[stated]]
    return ProbedPeer(
        place=str(peer),
        accepted={kind: bool(found.accepted[uid]) for kind, uid in RESULT_CLASSES.items()},
        refused_class=report_classes.NAMES[stated] if refuses and stated is not None else "",
        find_refusal=found.refusal or "",
        commits=found.commits,
        needs_commitment=isinstance(settings, DicomDestination) and settings.commitment == "require",
    )


def _peer(configuration: Configuration, name: str) -> Peer:
    """With the patience of somebody who waits for it; NotFoundError, UsageError."""
    own = configuration.node.ae_title
    settings = configuration.destinations.get(name)
    if isinstance(settings, DicomDestination):
        peer = peer_of(settings, own)
    elif settings is not None:
        raise UsageError(f"{name} is of kind {settings.kind}: only what speaks DIMSE is probed")
    elif name in configuration.boxes:
        peer = box_peer(configuration.boxes[name], own)
    else:
        raise NotFoundError(f"the configuration has no {name}")
    return replace(peer, timeout=min(peer.timeout, _PATIENCE.total_seconds()))


def _answered(
    ledger: Ledger, configuration: Configuration, name: str, at: datetime, by: Actor, *, questions: bool
) -> None:
    if name in configuration.destinations:
        with ledger.transaction() as database:
            outages.answered(database, at, name, str(by), questions=questions)

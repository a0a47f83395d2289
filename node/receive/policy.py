"""Who may open an association: called and calling AE title, address, how many at once.

A refusal is the triple of an A-ASSOCIATE-RJ PDU: result, source, reason (PS3.8 Table 9-21).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network

from node.config.boxes import answering
from node.config.destinations import dicom_destinations
from node.config.models import ClientCertificate, Configuration, share_of
from node.dimse.addresses import Address, plain_address
from node.dimse.association import AssociationRejection, AssociationRequest

CALLED_NOT_RECOGNISED = (1, 1, 7)
CALLING_NOT_RECOGNISED = (1, 1, 3)
NO_REASON_GIVEN = (1, 1, 1)
CONGESTED = (2, 3, 1)
LOCAL_LIMIT_EXCEEDED = (2, 3, 2)
_SMALLEST_PEER_LENGTH = 8
"""A PDU must hold a presentation data value with at least two bytes of content (PS3.8 9.3.5.1)."""
_Networks = tuple[IPv4Network | IPv6Network, ...]
WITHOUT_CERTIFICATE = "AE title of a destination without a certificate, which node.listen.tls requires"
HOST_UNKNOWN = "AE title of a destination whose host has a name that does not resolve"
"""It may be right: so it is asked to come again."""
NOT_ITS_HOST = "AE title of a destination from an address that is not its host's"


@dataclass(frozen=True, slots=True)
class DestinationCaller:
    """Where a destination that is no modality may call from: to send what we asked for, and to report."""

    hosts: tuple[str, ...] = ()
    also_from: _Networks = ()


@dataclass(frozen=True, slots=True)
class Policy:
    """What the configuration says about associations."""

    called: frozenset[str]
    calling: Mapping[str, _Networks]
    """Known calling AE titles, and where each may call from; empty means anywhere."""
    accept_any: bool
    maximum_associations: int
    certificates: Mapping[str, tuple[ClientCertificate, ...]] = field(default_factory=dict)
    """Calling AE titles that have to prove themselves over TLS, by one of these."""
    answering: Mapping[str, DestinationCaller] = field(default_factory=dict)
    """AE titles that are those of destinations alone."""
    boxes: frozenset[str] = frozenset()
    """AE titles of vendors' boxes, who have to call from where they are also where anybody may call."""
    destinations_prove: bool = False
    """Destinations that are no modalities have to call by TLS, with a certificate."""
    addresses_of: Callable[[str], frozenset[Address]] = lambda _: frozenset()
    """Addresses of a host; none where they are not known."""

    @staticmethod
    def of(configuration: Configuration, addresses_of: Callable[[str], frozenset[Address]]) -> Policy:
        """The policy that a configuration asks for.

        Destinations are known as well, from the address of their host and `also_from`: they answer C-MOVE requests and
        report on storage commitment, and a PACS that results go to is usually the one that forwards. An AE title that
        is a modality's too is bound by that entry alone; where client certificates are required, any other destination
        has to show one; one that several modalities share may call from the addresses
        of each of them.
        """
        node = configuration.node
        calling: dict[str, _Networks] = {}
        restricted: dict[str, list[_Networks]] = {}
        certificates: dict[str, tuple[ClientCertificate, ...]] = {}
        for modality in configuration.modalities.values():
            if modality.certificate is not None:
                known = certificates.get(modality.ae_title, ())
                certificates[modality.ae_title] = (*known, modality.certificate)
            restricted.setdefault(modality.ae_title, []).append(modality.addresses)
        for ae_title, addresses in restricted.items():
            anywhere = any(not networks for networks in addresses)
            calling[ae_title] = () if anywhere else tuple(network for networks in addresses for network in networks)
        return Policy(
            called=frozenset((node.ae_title, *node.also_called, *_called_by_boxes(configuration))),
            calling=calling,
            accept_any=node.accept == "any",
            maximum_associations=node.maximum_associations,
            certificates=certificates,
            answering=_answering(configuration, calling),
            boxes=frozenset(answering(configuration.boxes)),
            destinations_prove=node.listen.tls is not None and node.listen.tls.client_certificates == "required",
            addresses_of=addresses_of,
        )

    @property
    def share(self) -> int:
        """Maximum concurrent associations of one calling AE title from one address."""
        return share_of(self.maximum_associations)

    def refuse(
        self, request: AssociationRequest, open_associations: int, of_caller: int = 0
    ) -> AssociationRejection | None:
        """Why this association is refused; None accepts it. `of_caller`: open ones of this title and address."""
        if request.called_ae_title not in self.called:
            return AssociationRejection(CALLED_NOT_RECOGNISED, "called AE title not recognised")
        networks = self.calling.get(request.calling_ae_title)
        is_free = self.accept_any and request.calling_ae_title not in self.boxes
        if networks is None and not is_free and (rejection := self._no_answer(request)):
            return rejection
        if networks and not any(plain_address(request.peer_address) in network for network in networks):
            return AssociationRejection(
                CALLING_NOT_RECOGNISED, "known calling AE title from an address that is not its own"
            )
        bound = self.certificates.get(request.calling_ae_title, ())
        if bound and not any(_fits(certificate, request) for certificate in bound):
            how = "another certificate than its own" if request.tls_fingerprint else "no certificate"
            return AssociationRejection(CALLING_NOT_RECOGNISED, f"known calling AE title with {how}")
        if 0 < request.maximum_length < _SMALLEST_PEER_LENGTH:
            return AssociationRejection(NO_REASON_GIVEN, f"maximum length {request.maximum_length} holds no message")
        if open_associations >= self.maximum_associations:
            return AssociationRejection(LOCAL_LIMIT_EXCEEDED, f"{open_associations} associations are open")
        if of_caller >= self.share:
            return AssociationRejection(
                LOCAL_LIMIT_EXCEEDED, f"{of_caller} associations of this caller are open, its share"
            )
        return None

    def speaks_for_destination(self, request: AssociationRequest) -> bool:
        """Whether a caller with the AE title of a destination is that destination, also where anybody may call.

        An entry under `modalities` counts more, and was checked when the association was accepted.
        """
        return request.calling_ae_title in self.calling or self._no_answer(request) is None

    def _no_answer(self, request: AssociationRequest) -> AssociationRejection | None:
        """Why a caller that is no modality is none of a destination's hosts either."""
        answering = self.answering.get(request.calling_ae_title)
        if answering is None:
            return AssociationRejection(CALLING_NOT_RECOGNISED, "calling AE title not recognised")
        if self.destinations_prove and not request.tls_fingerprint:
            return AssociationRejection(CALLING_NOT_RECOGNISED, WITHOUT_CERTIFICATE)
        address = plain_address(request.peer_address)
        if any(address in network for network in answering.also_from):
            return None
        known = [self.addresses_of(host) for host in answering.hosts]
        if any(address in each for each in known):
            return None
        return (
            AssociationRejection(CALLING_NOT_RECOGNISED, NOT_ITS_HOST)
            if all(known)
            else AssociationRejection(CONGESTED, HOST_UNKNOWN)
        )


def _answering(configuration: Configuration, modalities: Mapping[str, _Networks]) -> dict[str, DestinationCaller]:
    """Destinations and boxes, by their AE titles, but for those that are modalities."""
    found: dict[str, DestinationCaller] = {}
    for each in dicom_destinations(configuration.destinations).values():
        if each.ae_title not in modalities:
            known = found.get(each.ae_title, DestinationCaller())
            found[each.ae_title] = DestinationCaller((*known.hosts, each.host), (*known.also_from, *each.also_from))
    for box in configuration.boxes.values():
        for title in box.titles if box.answers == "here" else ():
            known = found.get(title, DestinationCaller())
            found[title] = DestinationCaller((*known.hosts, box.host), (*known.also_from, *box.also_from))
    return found


def _called_by_boxes(configuration: Configuration) -> Iterator[str]:
    """What we call ourselves at boxes, who answer to that."""
    for box in configuration.boxes.values():
        if box.calling_ae_title:
            yield box.calling_ae_title
    for use in configuration.plugins.values():
        if use.calling_ae_title:
            yield use.calling_ae_title


def _fits(certificate: ClientCertificate, request: AssociationRequest) -> bool:
    """Whether the request came with this certificate; the engine has had it verified."""
    given = ((certificate.subject, request.tls_subject), (certificate.fingerprint, request.tls_fingerprint))
    return bool(request.tls_fingerprint) and all(asked in (None, shown) for asked, shown in given)

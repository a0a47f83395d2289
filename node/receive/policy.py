"""Who may open an association: called and calling AE title, address, how many at once. Pure.

A refusal is the triple of an A-ASSOCIATE-RJ PDU: result, source, reason (PS3.8 Table 9-21).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from node.config.models import ClientCertificate, Configuration
from node.dimse.association import AssociationRequest, Rejection

CALLED_NOT_RECOGNISED = (1, 1, 7)
CALLING_NOT_RECOGNISED = (1, 1, 3)
NO_REASON_GIVEN = (1, 1, 1)
CONGESTED = (2, 3, 1)
LOCAL_LIMIT_EXCEEDED = (2, 3, 2)
_SMALLEST_PEER_LENGTH = 8
"""A PDU must hold a presentation data value with at least two bytes of content (PS3.8 9.3.5.1)."""
_Networks = tuple[IPv4Network | IPv6Network, ...]


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

    @staticmethod
    def of(configuration: Configuration) -> Policy:
        """The policy that a configuration asks for.

        Destinations are known as well: a PACS that results go to is usually the one that forwards. An AE
        title that several modalities share may call from the addresses of each of them.
        """
        node = configuration.node
        calling: dict[str, _Networks] = {}
        for destination in configuration.destinations.values():
            calling[destination.ae_title] = ()
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
            called=frozenset((node.ae_title, *node.also_called)),
            calling=calling,
            accept_any=node.accept == "any",
            maximum_associations=node.maximum_associations,
            certificates=certificates,
        )

    def refuse(self, request: AssociationRequest, open_associations: int) -> Rejection | None:
        """Why this association is refused; None accepts it."""
        if request.called_ae_title not in self.called:
            return Rejection(CALLED_NOT_RECOGNISED, "called AE title not recognised")
        networks = self.calling.get(request.calling_ae_title)
        if networks is None and not self.accept_any:
            return Rejection(CALLING_NOT_RECOGNISED, "calling AE title not recognised")
        if networks and not any(_address(request.peer_address) in network for network in networks):
            return Rejection(CALLING_NOT_RECOGNISED, "known calling AE title from an address that is not its own")
        bound = self.certificates.get(request.calling_ae_title, ())
        if bound and not any(_fits(certificate, request) for certificate in bound):
            how = "another certificate than its own" if request.tls_fingerprint else "no certificate"
            return Rejection(CALLING_NOT_RECOGNISED, f"known calling AE title with {how}")
        if 0 < request.maximum_length < _SMALLEST_PEER_LENGTH:
            return Rejection(NO_REASON_GIVEN, f"maximum length {request.maximum_length} holds no message")
        if open_associations >= self.maximum_associations:
            return Rejection(LOCAL_LIMIT_EXCEEDED, f"{open_associations} associations are open")
        return None


def _fits(certificate: ClientCertificate, request: AssociationRequest) -> bool:
    """Whether the request came with this certificate; the engine has had it verified."""
    given = ((certificate.subject, request.tls_subject), (certificate.fingerprint, request.tls_fingerprint))
    return bool(request.tls_fingerprint) and all(asked in (None, shown) for asked, shown in given)


def _address(text: str) -> IPv4Address | IPv6Address:
    """An address as networks are written: IPv4 even where it came in through an IPv6 socket."""
    address = ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address

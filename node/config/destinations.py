"""Where results go: what every destination says, and those that speak DIMSE. `destination_kinds` lists every kind."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from node.config.encoding import EncodingKeys, EncodingProfile
from node.config.hours import DestinationHours
from node.config.retrying import Retry
from node.config.sections import Party, Section, SitePath, TakenUpBy
from node.config.values import AETitle, Duration, Host, Network, Port
from node.dimse.tls import Credentials

PRESETS: dict[str, dict[str, Any]] = {
    "any-pacs": {},
    "pictures-only": {"kinds": ["sr", "sc"], "sc_modality": "source", "sc_form": "single", "send_when": {}},
    "ai-results": {"sr_class": "comprehensive-3d"},
    "research": {"sr_class": "comprehensive-3d", "kinds": ["sr", "sc", "seg", "pm", "ko", "pr", "dicom"]},
    "ohif": {"editable": True, "kinds": ["sr", "sc", "seg", "dicom"], "sc_modality": "source", "pm_extent": "whole"},
}
"""What `preset` sets. any-pacs: what most archives take. pictures-only: a viewer that shows nothing but images, and
hides what is not of the study's modality: every answer has a page there. ai-results: one that reads IHE AIR
(Comprehensive 3D SR). research: all. ohif: what OHIF shows, with regions that can be edited in it (docs/viewers.md)."""


def _with_a_page(kinds: Any) -> Any:
    """What is sent as a report is sent as a page too, where readers see pictures alone."""
    return [*kinds, "sc"] if isinstance(kinds, list) and "sr" in kinds and "sc" not in kinds else kinds


class ClientTLS(Section):
    """TLS to a destination: who must have signed its certificate, and the one that we show."""

    taken_up_by: ClassVar[frozenset[Party]] = frozenset({Party.PEERS})

    authorities: SitePath
    """PEM file of the authorities that sign the destination's certificate."""
    certificate: SitePath | None = None
    """Ours, where the destination asks for one."""
    key: SitePath | None = None
    """Its private key."""
    server_name: Host | None = None
    """The name in the destination's certificate, where that is not `host`."""
    revoked: SitePath | None = None
    """Lists of the certificates that these authorities have revoked: a file or a folder, PEM or DER."""

    @model_validator(mode="after")
    def _pair(self) -> ClientTLS:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together")
        return self

    def credentials(self, host: str) -> Credentials:
        """What a connection to `host` rests on."""
        return Credentials(self.authorities, self.certificate, self.key, self.server_name or host, self.revoked)


class Destination(EncodingKeys):
    """Where results go, by whatever way."""

    taken_up_by: ClassVar[frozenset[Party]] = frozenset({Party.PEERS})
    asks_by: ClassVar[str] = ""
    """What it is asked by which patient a study belongs to; "" where it cannot be asked."""

    kind: str
    """By which way it is reached."""
    audience: Annotated[Literal["readers", "evaluation"], TakenUpBy.only()] = "readers"
    """Who reads there: radiologists, or a research archive, to which alone rules in mode shadow may send."""
    retry: Retry = Retry()
    """Back-off where it does not answer."""
    on_identity_change: Literal["hold", "adopt"] = "hold"
    """Where it has the study under another patient or order: hold the results for a person; or adopt: re-encode them
    under that, where birth date and sex agree and it says the same twice, a minute apart."""
    identity_check: Literal["study", "none"] = "study"
    """study: before the first object, the destination is asked for patient and order. none: results go blindly."""
    wait_for_study: Duration = timedelta(hours=2)
    """An alert after this long if the study never appears there; the results go on waiting."""
    associations: Annotated[int, Field(ge=1, le=16)] = 1
    """Maximum concurrent associations for what is sent there: each sends one study. What belongs to a study keeps its
    order. A destination that refuses the further ones gets as many as it accepts."""
    hours: DestinationHours | None = None
    """When something is sent there; at any time where it is absent. What waits for them does not age."""
    rejection_notes: Annotated[bool, TakenUpBy.only(Party.NODE)] = False
    """Whether results of a version that was withdrawn are rejected there by a rejection note (IHE IOCM). An archive
    that does not know the profile shows a note as key images: ask its vendor first."""
    preset: Annotated[Literal["any-pacs", "pictures-only", "ai-results", "research", "ohif"], TakenUpBy.only()] = (
        "any-pacs"
    )
    """What suits this kind of archive or viewer; a key that is given itself counts more."""

    @model_validator(mode="after")
    def _check_identity_is_asked(self) -> Destination:
        if self.on_identity_change == "adopt" and self.identity_check == "none":
            raise ValueError("on_identity_change: adopt needs identity_check: study, or nothing is asked to be adopted")
        return self

    @property
    def time_to_commit(self) -> timedelta | None:
        """How long it has to commit itself to what it has stored; None where it is not asked to."""
        return None

    @property
    def place(self) -> str:
        """Where it is, in words."""
        raise NotImplementedError

    @property
    def encoding(self) -> EncodingProfile:
        """How it wants its objects."""
        return EncodingProfile.model_construct(**{name: getattr(self, name) for name in EncodingKeys.model_fields})

    @model_validator(mode="before")
    @classmethod
    def _fill_in_preset(cls, given: Any) -> Any:
        if not isinstance(given, dict) or given.get("preset") not in PRESETS:
            return given
        filled = {**PRESETS[given["preset"]], **given}
        if given["preset"] == "pictures-only" and isinstance(filled["send_when"], dict):
            filled["send_when"] = {status: _with_a_page(kinds) for status, kinds in filled["send_when"].items()}
        return filled

    @model_validator(mode="after")
    def _check_nobody_is_left_in_silence(self) -> Destination:
        """Only for "not applicable" may nothing at all be sent: elsewhere silence would look like a negative.

        Where readers see pictures alone, an answer without a page is silence too.
        """
        for status, kinds in self.send_when.items():
            if status != "not_applicable" and not kinds & self.kinds & {"sr", "sc"}:
                raise ValueError(f"send_when: {status} must be sent as sr or sc, or silence would look like a negative")
            if self.preset == "pictures-only" and "sc" not in kinds:
                raise ValueError(f"send_when: {status} must be sent as sc: a viewer of pictures shows nothing else")
        return self


class DicomDestination(Destination):
    """A destination that speaks DIMSE: C-STORE, and C-FIND for the identity check."""

    asks_by: ClassVar[str] = "C-FIND"
    kind: Literal["dicom"] = "dicom"
    """dicom: C-STORE."""
    ae_title: Annotated[AETitle, TakenUpBy.only(Party.RECEIVERS, Party.NODE, Party.PEERS)]
    """What it is called."""
    host: Annotated[Host, TakenUpBy.only(Party.RECEIVERS, Party.NODE, Party.PEERS)]
    """Its name or address."""
    port: Annotated[Port, TakenUpBy.only(Party.NODE, Party.PEERS)]
    """Its port."""
    tls: ClientTLS | None = None
    """TLS to it; its name and certificate are verified."""
    also_from: Annotated[tuple[Network, ...], TakenUpBy.only(Party.RECEIVERS)] = ()
    """Where else it may call from than from the address of `host`; an entry under `modalities` counts more."""
    calling_ae_title: AETitle | None = None
    """The AE title we call ourselves there; `node.ae_title` where it is not given."""
    timeout: Duration = timedelta(seconds=60)
    """Longest silence of the peer, and longest wait for one of its answers."""
    commitment: Annotated[Literal["require", "try", "off"], TakenUpBy.only(Party.RECEIVERS, Party.PEERS)] = "off"
    """Whether it is asked for storage commitment of what it has stored, results and forwarded images. try: where it
    accepts to be asked. require: it has to, else there is an alert."""
    commit_within: Duration = timedelta(hours=24)
    """An alert after this long without its commitment; it is still asked."""

    @property
    def time_to_commit(self) -> timedelta | None:
        """`commit_within`, where it is asked."""
        return None if self.commitment == "off" else self.commit_within

    @property
    def place(self) -> str:
        """As in `PACS at 10.0.0.9:104 over TLS`."""
        return f"{self.ae_title} at {self.host}:{self.port}{' over TLS' if self.tls else ''}"


def dicom_destinations(destinations: Mapping[str, Destination]) -> dict[str, DicomDestination]:
    """Those that have an AE title, by their names: they may call us, be asked with C-FIND, and send what we fetch."""
    return {name: each for name, each in destinations.items() if isinstance(each, DicomDestination)}

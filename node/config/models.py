"""What config.yaml may say: one frozen model a section.

The models check what can be seen within one section; what one section says of another (a rule names
a destination) is checked in `loading`, which knows the lines.
"""

from __future__ import annotations

from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, Field, model_validator

from node.config.values import Duration, Section, Size, check_ae_title, check_fingerprint
from rules.examples import Example
from rules.model import Rule

AETitle = Annotated[str, AfterValidator(check_ae_title)]
Port = Annotated[int, Field(ge=1, le=65535)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
Network = IPv4Network | IPv6Network


def _check_time_zone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError(f"{value!r} is no IANA time zone name, as in Asia/Seoul or Europe/Berlin")
    return value


class TLS(Section):
    """TLS on a port of its own, after BCP 195 (PS3.15 B.12)."""

    port: Port
    certificate: Path
    key: Path
    client_certificates: Literal["required", "optional", "none"] = "required"
    authorities: Path | None = None
    """PEM file of the authorities that sign client certificates."""

    @model_validator(mode="after")
    def _authorities_for_clients(self) -> TLS:
        if self.client_certificates != "none" and self.authorities is None:
            raise ValueError("authorities: needed to check client certificates; or set client_certificates: none")
        return self


class Listen(Section):
    """Where modalities reach us."""

    host: str = "0.0.0.0"  # noqa: S104 - a DICOM node is there to be reached; `accept: known` guards it
    port: Annotated[int, Field(ge=0, le=65535)] = 11112
    """0 lets the system choose; the start line says which."""
    tls: TLS | None = None


class Completion(Section):
    """When a study counts as complete (docs/architecture.md, "Complete")."""

    quiet: Duration = timedelta(seconds=60)
    quiet_by_modality: dict[str, Duration] = Field(
        default_factory=lambda: {"MR": timedelta(seconds=300), "US": timedelta(seconds=300)}
    )
    max_wait: Duration = timedelta(minutes=30)
    """After this long without a new object, an association that is still open no longer holds a study back."""


class Limits(Section):
    """High-water marks: beyond them associations are refused for now (result 2, reason local limit exceeded).

    Objects on open associations are taken further: until half the space is left, or twice as many objects wait.
    """

    free_space: Annotated[Size, Field(ge=0)] = 2 * 2**30
    """Bytes that stay free under the data folder."""
    waiting_objects: Annotated[int, Field(ge=1)] = 50_000
    """Objects that wait to be indexed."""


class Logs(Section):
    """Where log lines go and how they look."""

    format: Literal["json", "console"] = "console"
    level: Literal["debug", "info", "warning", "error"] = "info"


class Node(Section):
    """The node itself."""

    ae_title: AETitle = "PACSNODE"
    also_called: tuple[AETitle, ...] = ()
    """Further called AE titles that are answered to; rules see which one was called."""
    time_zone: Annotated[str, AfterValidator(_check_time_zone)]
    data: Path = Path("data")
    listen: Listen = Listen()
    receivers: Annotated[int, Field(ge=1, le=16)] = 1
    durability: Literal["fsync", "os"] = "fsync"
    accept: Literal["known", "any"] = "known"
    """Calling AE titles: only those under `modalities` and `destinations`, or any."""
    maximum_associations: Annotated[int, Field(ge=1, le=500)] = 50
    limits: Limits = Limits()
    completion: Completion = Completion()
    jobs_at_once: Annotated[int, Field(ge=1, le=64)] = 2
    logs: Logs = Logs()

    @property
    def zone(self) -> ZoneInfo:
        """The zone of times that no source image gives an offset for."""
        return ZoneInfo(self.time_zone)


class ClientCertificate(Section):
    """The certificate by which a sender proves that it is the one; what is given has to fit."""

    subject: str | None = None
    """As the log writes it: `organizationName=Hospital,commonName=CT1`, in the order of the certificate."""
    fingerprint: Annotated[str, AfterValidator(check_fingerprint)] | None = None
    """SHA-256 of the certificate."""

    @model_validator(mode="after")
    def _something(self) -> ClientCertificate:
        if self.subject is None and self.fingerprint is None:
            raise ValueError("a certificate needs its subject or its fingerprint")
        return self


class Modality(Section):
    """A sender: a scanner, or the PACS that forwards."""

    ae_title: AETitle
    addresses: tuple[Network, ...] = ()
    """Where it may call from; empty means anywhere."""
    certificate: ClientCertificate | None = None
    """It may associate only over TLS, with this certificate."""
    quiet: Duration | None = None
    """Overrides `node.completion.quiet` and `quiet_by_modality` for what this one sends."""


class Retry(Section):
    """Exponential back-off of a destination; persisted, so a restart does not start over."""

    first: Duration = timedelta(seconds=10)
    factor: Annotated[float, Field(ge=1.0, le=10.0)] = 2.0
    longest: Duration = timedelta(minutes=15)
    give_up_after: Duration = timedelta(days=7)
    """After this the delivery is a dead letter: kept, shown in `status`, sent again only by `retry`."""


class ClientTLS(Section):
    """TLS to a destination: who must have signed its certificate, and the one that we show."""

    authorities: Path
    """PEM file of the authorities that sign the destination's certificate."""
    certificate: Path | None = None
    """Ours, where the destination asks for one."""
    key: Path | None = None
    server_name: str | None = None
    """The name in the destination's certificate, where that is not `host`."""

    @model_validator(mode="after")
    def _pair(self) -> ClientTLS:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together")
        return self


Kinds = frozenset[Literal["sr", "sc", "seg", "pm", "ko", "pr"]]
Status = Literal["findings", "no_findings", "not_applicable", "failed"]
PRESETS: dict[str, dict[str, Any]] = {
    "any-pacs": {},
    "pictures-only": {"kinds": ["sr", "sc"], "sc_modality": "source", "sc_form": "single"},
    "ai-results": {"sr_class": "comprehensive-3d"},
    "research": {"sr_class": "comprehensive-3d", "kinds": ["sr", "sc", "seg", "pm", "ko", "pr"]},
    "ohif": {"editable": True, "kinds": ["sr", "sc", "seg"], "sc_modality": "source"},
}
"""What `preset` sets. any-pacs: what most archives take. pictures-only: a viewer that shows nothing but images, and
hides what is not of the study's modality. ai-results: one that reads IHE AIR (Comprehensive 3D SR). research: all.
ohif: what OHIF shows, with regions that can be edited in it (docs/viewers.md)."""


def _fewer_kinds() -> dict[Status, Kinds]:
    """Pages that say "not applicable" teach readers to ignore the others."""
    return {"not_applicable": frozenset({"sr"})}


class Destination(Section):
    """Where results go."""

    ae_title: AETitle
    host: str
    port: Port
    tls: ClientTLS | None = None
    calling_ae_title: AETitle | None = None
    """The AE title we call ourselves there; `node.ae_title` where it is not given."""
    audience: Literal["readers", "evaluation"] = "readers"
    timeout: Duration = timedelta(seconds=60)
    """Longest silence of the peer, and longest wait for one of its answers."""
    retry: Retry = Retry()
    identity_check: Literal["study", "none"] = "study"
    wait_for_study: Duration = timedelta(hours=2)
    """An alert after this long if the study never appears there; the results go on waiting."""
    sr_class: Literal["comprehensive", "comprehensive-3d", "enhanced"] = "comprehensive"
    character_set: Literal["utf-8", "source"] = "utf-8"
    sc_modality: Literal["OT", "source"] = "OT"
    language: Literal["en", "ko"] = "en"
    preset: Literal["any-pacs", "pictures-only", "ai-results", "research", "ohif"] = "any-pacs"
    """What suits this kind of archive or viewer; a key that is given itself counts more."""
    kinds: Kinds = frozenset({"sr", "sc", "seg", "pm", "ko"})
    send_when: dict[Status, Kinds] = Field(default_factory=_fewer_kinds)
    """With which kinds a result of this status is sent, where not with all of `kinds`."""
    sc_form: Literal["single", "multi-frame"] = "single"
    series_number_base: Annotated[int, Field(ge=1, le=2**31 - 2000)] = 9000
    series_text: Annotated[str, Field(max_length=24, pattern=r"^[ -\[\]-~]*$")] = ""
    """Behind the marking in Series Description; ASCII, because lists of series are."""
    transfer_syntax: Literal["explicit", "implicit"] = "explicit"
    editable: bool = False
    """Tracking identifiers name the tools by which OHIF and other viewers built on Cornerstone edit regions."""

    @model_validator(mode="before")
    @classmethod
    def _fill_in_preset(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("preset") in PRESETS:
            return {**PRESETS[given["preset"]], **given}
        return given

    @model_validator(mode="after")
    def _check_nobody_is_left_in_silence(self) -> Destination:
        """Only for "not applicable" may nothing at all be sent: elsewhere silence would look like a negative."""
        for status, kinds in self.send_when.items():
            if status != "not_applicable" and not kinds & self.kinds & {"sr", "sc"}:
                raise ValueError(f"send_when: {status} must be sent as sr or sc, or silence would look like a negative")
        return self


class PluginUse(Section):
    """One plugin as this site uses it."""

    folder: Path | None = None
    """The folder with its plugin.toml; absent means the built-in plugin of this name."""
    deadline: Duration | None = None
    memory: Size | None = None
    at_once: Annotated[int, Field(ge=1, le=64)] = 1
    attempts: Annotated[int, Field(ge=1, le=20)] = 3
    parameters: dict[str, Any] = Field(default_factory=dict)


class Configuration(Section):
    """config.yaml as a whole."""

    node: Node
    modalities: dict[Name, Modality] = Field(default_factory=dict)
    destinations: dict[Name, Destination] = Field(default_factory=dict)
    plugins: dict[Name, PluginUse] = Field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    tests: tuple[Example, ...] = ()
    """What is expected of the rules; they do not go live where a test fails."""

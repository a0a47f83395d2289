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

from node.config.people import Notifying, Person
from node.config.retrying import Retry
from node.config.values import Duration, Host, Section, Size, check_ae_title, check_fingerprint
from node.dimse.tls import Credentials
from rules.examples import Example
from rules.model import Rule

AETitle = Annotated[str, AfterValidator(check_ae_title)]
Port = Annotated[int, Field(ge=1, le=65535)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
Network = IPv4Network | IPv6Network


def _check_time_zone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError(f"{value!r} is not an IANA time zone name, as in Asia/Seoul or Europe/Berlin")
    return value


class TLS(Section):
    """TLS on a port of its own, after BCP 195 (PS3.15 B.12)."""

    port: Port
    """A port for TLS alone, beside the plain one."""
    certificate: Path
    """PEM file of the node's certificate, with those that it was signed by."""
    key: Path
    """PEM file of its private key."""
    client_certificates: Literal["required", "optional", "none"] = "required"
    """Whether a sender has to show a certificate, may show one, or is not asked."""
    authorities: Path | None = None
    """PEM file of the authorities that sign client certificates."""

    @model_validator(mode="after")
    def _authorities_for_clients(self) -> TLS:
        if self.client_certificates != "none" and self.authorities is None:
            raise ValueError("authorities: needed to check client certificates; or set client_certificates: none")
        return self

    @property
    def files(self) -> dict[str, Path]:
        """What the port rests on, by its keys."""
        files = {"certificate": self.certificate, "key": self.key}
        if self.client_certificates != "none" and self.authorities is not None:
            files["authorities"] = self.authorities
        return files


class Listen(Section):
    """Where modalities reach us."""

    host: str = "0.0.0.0"  # noqa: S104 - a DICOM node is there to be reached; `accept: known` guards it
    """The address to listen on; 0.0.0.0 is every one."""
    port: Annotated[int, Field(ge=0, le=65535)] = 11112
    """0 lets the system choose; the start line says which."""
    tls: TLS | None = None
    """TLS on a port of its own."""


class Completion(Section):
    """When a study counts as complete (docs/architecture.md, "Complete")."""

    quiet: Duration = timedelta(seconds=60)
    """A study is complete after so long without a new object."""
    quiet_by_modality: dict[str, Duration] = Field(
        default_factory=lambda: {"MR": timedelta(seconds=300), "US": timedelta(seconds=300)}
    )
    """The same for studies with series of these modalities, which pause for longer."""
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
    """json: an object a line, for log collectors. console: for people."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe lines that are written."""


class Node(Section):
    """The node itself."""

    ae_title: AETitle = "PACSNODE"
    """What modalities call us."""
    also_called: tuple[AETitle, ...] = ()
    """Further called AE titles that are answered to; rules see which one was called."""
    time_zone: Annotated[str, AfterValidator(_check_time_zone)]
    """IANA name: of times that the node writes where the images have no offset, and of `hours` in rules."""
    data: Path = Path("data")
    """Folder of received images, the ledger and results."""
    listen: Listen = Listen()
    """Address and ports."""
    receivers: Annotated[int, Field(ge=1, le=16)] = 1
    """Processes that receive."""
    durability: Literal["fsync", "os"] = "fsync"
    """fsync: what was answered with success survives a power loss. os: a crash of the node only."""
    accept: Literal["known", "any"] = "known"
    """Calling AE titles: only those under `modalities` and `destinations`, or any."""
    maximum_associations: Annotated[int, Field(ge=1, le=500)] = 50
    """Maximum concurrent associations; further ones are refused for now."""
    limits: Limits = Limits()
    """High-water marks, beyond which associations are refused for now."""
    completion: Completion = Completion()
    """When a study counts as complete."""
    jobs_at_once: Annotated[int, Field(ge=1, le=64)] = 2
    """Plugins that run at the same time, at most."""
    logs: Logs = Logs()
    """How the node logs."""

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


class ClientTLS(Section):
    """TLS to a destination: who must have signed its certificate, and the one that we show."""

    authorities: Path
    """PEM file of the authorities that sign the destination's certificate."""
    certificate: Path | None = None
    """Ours, where the destination asks for one."""
    key: Path | None = None
    """Its private key."""
    server_name: Host | None = None
    """The name in the destination's certificate, where that is not `host`."""

    @model_validator(mode="after")
    def _pair(self) -> ClientTLS:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together")
        return self

    def credentials(self, host: str) -> Credentials:
        """What a connection to `host` rests on."""
        return Credentials(self.authorities, self.certificate, self.key, self.server_name or host)


class StorageCommitment(Section):
    """A sender may ask for storage commitment (PS3.4 J), and gets the report here if its association has ended."""

    host: Host
    """Where the sender listens for reports: name or address."""
    port: Port
    """Its port."""
    tls: ClientTLS | None = None
    """Reports go over TLS, to this certificate."""
    timeout: Duration = timedelta(seconds=60)
    """Longest silence of the sender, and longest wait for its answer."""
    retry: Retry = Retry()
    """While it cannot be delivered; after `give_up_after` the report is a dead letter."""
    commit_through: Name | None = None
    """A destination: success is reported only of what that archive has committed itself to."""
    wait_for_archive: Duration = timedelta(hours=24)
    """What the archive has not committed itself to after this long is reported as failed."""


class Modality(Section):
    """A sender: a scanner, or the PACS that forwards."""

    ae_title: AETitle
    """What it calls itself."""
    addresses: tuple[Network, ...] = ()
    """Where it may call from; empty means anywhere."""
    certificate: ClientCertificate | None = None
    """It may associate only over TLS, with this certificate."""
    quiet: Duration | None = None
    """Overrides `node.completion.quiet` and `quiet_by_modality` for what this one sends."""
    storage_commitment: StorageCommitment | None = None
    """It may ask for storage commitment; absent means that it may not."""


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
    """What it is called."""
    host: Host
    """Its name or address."""
    port: Port
    """Its port."""
    tls: ClientTLS | None = None
    """TLS to it; its name and certificate are verified."""
    calling_ae_title: AETitle | None = None
    """The AE title we call ourselves there; `node.ae_title` where it is not given."""
    audience: Literal["readers", "evaluation"] = "readers"
    """Who reads there: radiologists, or a research archive, to which alone rules in mode shadow may send."""
    timeout: Duration = timedelta(seconds=60)
    """Longest silence of the peer, and longest wait for one of its answers."""
    retry: Retry = Retry()
    """Back-off where it does not answer."""
    identity_check: Literal["study", "none"] = "study"
    """study: before the first object, C-FIND asks the destination for patient and order. none: results go blindly."""
    wait_for_study: Duration = timedelta(hours=2)
    """An alert after this long if the study never appears there; the results go on waiting."""
    sr_class: Literal["comprehensive", "comprehensive-3d", "enhanced"] = "comprehensive"
    """Which SOP class structured reports have; where it is refused, the next that says less and is taken."""
    character_set: Literal["utf-8", "source"] = "utf-8"
    """utf-8, or that of the source images."""
    sc_modality: Literal["OT", "source"] = "OT"
    """Modality of pages: OT, or the study's own for viewers that hide others."""
    language: Literal["en", "ko"] = "en"
    """Of the texts on pages."""
    preset: Literal["any-pacs", "pictures-only", "ai-results", "research", "ohif"] = "any-pacs"
    """What suits this kind of archive or viewer; a key that is given itself counts more."""
    kinds: Kinds = frozenset({"sr", "sc", "seg", "pm", "ko"})
    """What is sent: sr report, sc pages, seg segmentations, pm maps, ko key images, pr presentation states."""
    send_when: dict[Status, Kinds] = Field(default_factory=_fewer_kinds)
    """With which kinds a result of this status is sent, where not with all of `kinds`."""
    seg_form: Literal["binary", "label-map"] = "binary"
    """Segmentation Storage, or Label Map Segmentation Storage for archives and viewers that know it."""
    sc_form: Literal["single", "multi-frame"] = "single"
    """Pages one by one, or as one multi-frame object."""
    series_number_base: Annotated[int, Field(ge=1, le=2**31 - 2000)] = 9000
    """Series Numbers of results begin above this."""
    series_text: Annotated[str, Field(max_length=24, pattern=r"^[ -\[\]-~]*$")] = ""
    """Behind the marking in Series Description; ASCII, because lists of series are."""
    transfer_syntax: Literal["explicit", "implicit"] = "explicit"
    """Explicit or Implicit VR Little Endian."""
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
    """The longest that one attempt may take, as in 10m."""
    memory: Size | None = None
    """The most memory it may use, as in 4GiB."""
    at_once: Annotated[int, Field(ge=1, le=64)] = 1
    """Jobs of this plugin at the same time, at most."""
    attempts: Annotated[int, Field(ge=1, le=20)] = 3
    """Maximum attempts of one job."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """Overrides of the plugin's own defaults, as its plugin.toml lists them."""


class Configuration(Section):
    """config.yaml as a whole."""

    node: Node
    """What the node is called, where it listens, what it keeps and how much it does at once."""
    modalities: dict[Name, Modality] = Field(default_factory=dict)
    """Who may send, by a name of your choice."""
    destinations: dict[Name, Destination] = Field(default_factory=dict)
    """Where results go, by a name of your choice."""
    plugins: dict[Name, PluginUse] = Field(default_factory=dict)
    """Plugins as this site uses them, by the name that rules call them."""
    people: dict[Name, Person] = Field(default_factory=dict)
    """Who can be notified by rules."""
    notify: Notifying = Notifying()
    """How they are notified."""
    rules: tuple[Rule, ...] = ()
    """Rules, and the files that hold some: rules.d/*.yaml"""
    tests: tuple[Example, ...] = ()
    """What is expected of the rules; they do not go live where a test fails."""

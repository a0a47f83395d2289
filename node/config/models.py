"""What config.yaml may say: one frozen model a section.

They check what is within one section; what one says of another is checked in `loading`, which knows the lines.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from node.config.alerting import Alerts, Heartbeat
from node.config.allowing import ContainerEngine, PluginGrants, PluginIsolation
from node.config.audit import AuditSettings
from node.config.backup import BackupSettings
from node.config.boxes import VendorBox
from node.config.console import ConsoleSettings
from node.config.destination_kinds import DESTINATIONS
from node.config.destinations import ClientTLS, Destination
from node.config.envelope import EnvelopeUse
from node.config.machine import MachineSettings
from node.config.people import Notifications, Person
from node.config.retention import Retention
from node.config.retrying import Retry
from node.config.sections import Party, Section, SitePath, TakenUpBy
from node.config.services import WebService
from node.config.stop_rules import StopRule
from node.config.values import (
    AETitle,
    Duration,
    Host,
    Network,
    Port,
    Size,
    check_character_set,
    check_fingerprint,
    check_port_or_off,
    check_table_or_off,
)
from rules.examples import Example
from rules.model import IgnoredStudies, Rule, Vendor

_NO_NAMES = ("posix/", "right/", "posixrules")
"""What Debian has beside the zones: the same zones, with and without leap seconds."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]


def _check_time_zone(value: str) -> str:
    try:
        is_known = bool(ZoneInfo(value)) and not value.startswith(_NO_NAMES)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a folder, such as Asia
        is_known = False
    if not is_known:
        raise ValueError(f"{value!r} is not an IANA time zone name, as in Asia/Seoul or Europe/Berlin")
    return value


class TLS(Section):
    """TLS on a port of its own, after BCP 195 (PS3.15 B.12)."""

    taken_up_by: ClassVar[frozenset[Party]] = frozenset({Party.RECEIVERS})

    port: Port
    """A port for TLS alone, beside the plain one."""
    certificate: SitePath
    """PEM file of the node's certificate, with those that it was signed by."""
    key: SitePath
    """PEM file of its private key."""
    client_certificates: Literal["required", "optional", "none"] = "required"
    """Whether a sender has to show a certificate, may show one, or is not asked."""
    authorities: SitePath | None = None
    """PEM file of the authorities that sign client certificates."""
    revoked: SitePath | None = None
    """Lists of the client certificates that these authorities have revoked: a file or a folder, PEM or DER."""

    @model_validator(mode="after")
    def _authorities_for_clients(self) -> TLS:
        if self.client_certificates != "none" and self.authorities is None:
            raise ValueError("authorities: needed to check client certificates; or set client_certificates: none")
        if self.client_certificates == "none" and self.revoked is not None:
            raise ValueError("revoked: no client certificates are asked for (client_certificates: none)")
        return self

    @property
    def files(self) -> dict[str, Path]:
        """What the port rests on, by its keys."""
        files = {"certificate": self.certificate, "key": self.key}
        if self.client_certificates != "none" and self.authorities is not None:
            files["authorities"] = self.authorities
        if self.revoked is not None:
            files["revoked"] = self.revoked
        return files


class Listen(Section):
    """Where modalities reach us."""

    taken_up_by: ClassVar[frozenset[Party]] = frozenset({Party.RECEIVERS})

    host: str = "0.0.0.0"  # noqa: S104 - a DICOM node is there to be reached; `accept: known` guards it
    """The address to listen on; 0.0.0.0 is every one."""
    port: Annotated[Annotated[int, Field(ge=0, le=65535)] | Literal["off"], BeforeValidator(check_port_or_off)] = 11112
    """0 lets the system choose; the start line says which. off: nothing is received without TLS."""
    tls: TLS | None = None
    """TLS on a port of its own."""

    @model_validator(mode="after")
    def _somewhere(self) -> Listen:
        if self.port == "off" and self.tls is None:
            raise ValueError("port: off needs tls, or the node would listen nowhere")
        return self


class Completion(Section):
    """When a study counts as complete (docs/architecture.md, "Complete")."""

    taken_up_by: ClassVar[frozenset[Party]] = frozenset({Party.NODE})

    quiet: Duration = timedelta(seconds=60)
    """A study is complete after so long without a new object."""
    quiet_by_modality: dict[str, Duration] = Field(
        default_factory=lambda: {"MR": timedelta(seconds=300), "US": timedelta(seconds=300)}
    )
    """The same for studies with series of these modalities, which pause for longer."""
    max_wait: Duration = timedelta(minutes=30)
    """After this long without a new object, an association that is still open no longer holds a study back."""


class AssociationLimits(Section):
    """High-water marks: beyond them associations are refused for now (result 2, reason local limit exceeded).

    Objects on open associations are taken further: until half the space is left, or twice as many objects wait.
    """

    taken_up_by: ClassVar[frozenset[Party]] = frozenset({Party.RECEIVERS})

    free_space: Annotated[Size, Field(ge=0), TakenUpBy.only(Party.RECEIVERS, Party.NODE)] = 2 * 2**30
    """Bytes that stay free under the data folder. A plugin that wrote much is ended before that."""
    waiting_objects: Annotated[int, Field(ge=1)] = 50_000
    """Objects that wait to be indexed."""


class Logs(Section):
    """Where log lines go and how they look."""

    taken_up_by: ClassVar[frozenset[Party]] = frozenset({Party.RECEIVERS, Party.NODE})

    format: Literal["json", "console"] = "console"
    """json: an object a line, for log collectors. console: for people."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe lines that are written."""


_KEPT_FREE = 5
"""One place for an association in this many is not for the caller that has all the others."""


def share_of(maximum_associations: int) -> int:
    """How many of these one calling AE title may have open from one address."""
    return maximum_associations - maximum_associations // _KEPT_FREE


class NodeSettings(Section):
    """The node itself."""

    taken_up_by: ClassVar[frozenset[Party]] = frozenset({Party.RECEIVERS})

    ae_title: Annotated[AETitle, TakenUpBy.only(Party.RECEIVERS, Party.NODE, Party.PEERS)] = "PACSNODE"
    """What modalities call us."""
    also_called: tuple[AETitle, ...] = ()
    """Further called AE titles that are answered to; rules see which one was called."""
    time_zone: Annotated[str, AfterValidator(_check_time_zone), TakenUpBy.only(Party.NEXT_START)]
    """IANA name: of times that the node writes where the images have no offset, and of `hours` in rules."""
    data: Annotated[SitePath, TakenUpBy.only(Party.NEXT_START), Field(validate_default=True)] = Path("data")
    """Folder of received images, the ledger and results."""
    listen: Listen = Listen()
    """Address and ports."""
    uids: Annotated[Literal["as-received", "strict"], TakenUpBy.only(Party.NODE)] = "as-received"
    """UIDs that PS3.5 9.1 does not allow, such as 1.2.03: as-received copies them into results unchanged, if they are
    of digits and dots and no longer than 64. strict: such images are stored, and no plugin gets them."""
    receivers: Annotated[int, Field(ge=1, le=16)] = 1
    """Processes that receive."""
    durability: Annotated[Literal["fsync", "os"], TakenUpBy.only(Party.RECEIVERS, Party.PEERS)] = "fsync"
    """fsync: what was answered with success survives a power loss. os: a crash of the node only."""
    accept: Literal["known", "any"] = "known"
    """Calling AE titles: only those under `modalities` and `destinations`, or any."""
    maximum_associations: Annotated[int, Field(ge=1, le=500)] = 50
    """Maximum concurrent associations, four fifths of them for one AE title and address; further ones are refused for
    now, unless one that is idle can give way."""
    limits: AssociationLimits = AssociationLimits()
    """High-water marks, beyond which associations are refused for now."""
    completion: Completion = Completion()
    """When a study counts as complete."""
    isolation: Annotated[PluginIsolation, TakenUpBy.only(Party.NODE)] = "auto"
    """How plugins are confined. required: as another user, in a sandbox, or they do not run. auto: as well as this
    machine can. off: in no sandbox."""
    containers: Annotated[ContainerEngine, TakenUpBy.only(Party.NODE)] = "auto"
    """What runs plugins that are container images: podman, docker, or the path of one. auto: podman, else docker."""
    jobs_at_once: Annotated[int, Field(ge=1, le=64), TakenUpBy.only(Party.NEXT_START)] = 2
    """Plugins that run at the same time, at most."""
    reserved_for_urgent: Annotated[int, Field(ge=0, le=63), TakenUpBy.only(Party.NEXT_START)] = 0
    """How many of these are for jobs of urgent rules only."""
    machine: MachineSettings = MachineSettings()
    """What of this machine plugins may use."""
    logs: Logs = Logs()
    """How the node logs."""

    @model_validator(mode="after")
    def _some_for_others(self) -> NodeSettings:
        if self.reserved_for_urgent >= self.jobs_at_once:
            raise ValueError(
                f"reserved_for_urgent ({self.reserved_for_urgent}) leaves nothing of jobs_at_once ({self.jobs_at_once})"
                " for jobs that are not urgent"
            )
        return self

    @property
    def zone(self) -> ZoneInfo:
        """The zone of times that no source image gives an offset for."""
        return ZoneInfo(self.time_zone)


class ClientCertificate(Section):
    """The certificate by which a sender proves that it is the one; what is given has to fit."""

    taken_up_by: ClassVar[frozenset[Party]] = frozenset({Party.RECEIVERS})

    subject: str | None = None
    """As the log writes it: `organizationName=Hospital,commonName=CT1`, in the order of the certificate."""
    fingerprint: Annotated[str, AfterValidator(check_fingerprint)] | None = None
    """SHA-256 of the certificate."""

    @model_validator(mode="after")
    def _something(self) -> ClientCertificate:
        if self.subject is None and self.fingerprint is None:
            raise ValueError("a certificate needs its subject or its fingerprint")
        return self


class StorageCommitment(Section):
    """A sender may ask for storage commitment (PS3.4 J), and gets the report here if its association has ended."""

    taken_up_by: ClassVar[frozenset[Party]] = frozenset({Party.PEERS})

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
    commit_through: Annotated[Name | None, TakenUpBy.only(Party.RECEIVERS, Party.PEERS)] = None
    """A destination: success is reported only of what that archive has committed itself to."""
    wait_for_archive: Duration = timedelta(hours=24)
    """What the archive has not committed itself to after this long is reported as failed."""
    keep: Annotated[Duration, Field(gt=timedelta())] = timedelta(days=365)
    """For this long `retention` deletes nothing that success was reported of; with `commit_through` the archive keeps
    it. Another time counts for what is asked from then on."""


class Modality(Section):
    """A sender: a scanner, or the PACS that forwards."""

    taken_up_by: ClassVar[frozenset[Party]] = frozenset({Party.RECEIVERS})

    ae_title: Annotated[AETitle, TakenUpBy.only(Party.RECEIVERS, Party.NODE, Party.PEERS)]
    """What it calls itself."""
    addresses: tuple[Network, ...] = ()
    """Where it may call from; empty means anywhere."""
    certificate: ClientCertificate | None = None
    """It may associate only over TLS, with this certificate."""
    quiet: Annotated[Duration | None, TakenUpBy.only(Party.NODE)] = None
    """Overrides `node.completion.quiet` and `quiet_by_modality` for what this one sends."""
    character_set: Annotated[Annotated[str, AfterValidator(check_character_set)] | None, TakenUpBy.only(Party.NODE)] = (
        None
    )
    """Specific Character Set of its texts where their own is missing or does not fit them."""
    storage_commitment: StorageCommitment | None = None
    """It may ask for storage commitment; absent means that it may not."""


class PluginResources(Section):
    """What a job of a plugin keeps busy; what is not said here is as in its plugin.toml."""

    taken_up_by: ClassVar[frozenset[Party]] = frozenset({Party.NODE})

    cpus: Annotated[float, Field(ge=0, le=4096, allow_inf_nan=False)] | None = None
    """Processors; 0: not counted."""
    memory: Annotated[Size, Field(ge=0)] | None = None
    """Memory; where nobody says: what it may use at most."""
    gpu: bool | None = None
    """Whether it needs a GPU: one of its own, unless `gpu_memory` says how much of one."""
    gpu_memory: Annotated[Size, Field(ge=0)] | None = None
    """Memory of a GPU."""


class WarmUse(Section):
    """How long a process of a plugin is kept, so that its model is loaded once (kinds python and onnx)."""

    taken_up_by: ClassVar[frozenset[Party]] = frozenset({Party.NODE})

    jobs: Annotated[int, Field(ge=2, le=100_000)] = 100
    """After this many jobs it ends."""
    idle: Duration = timedelta(minutes=15)
    """After this long without a job it ends."""


class PluginUse(Section):
    """One plugin as this site uses it."""

    taken_up_by: ClassVar[frozenset[Party]] = frozenset({Party.NODE})

    folder: SitePath | None = None
    """The folder with its plugin.toml; absent means the built-in plugin of this name."""
    deadline: Duration | None = None
    """The longest that one attempt may take, as in 10m."""
    memory: Size | None = None
    """The most memory it may use, as in 4GiB."""
    at_once: Annotated[int, Field(ge=1, le=64)] = 1
    """Jobs of this plugin at the same time, at most."""
    resources: PluginResources = PluginResources()
    """What a job needs to start."""
    attempts: Annotated[int, Field(ge=1, le=20)] = 3
    """Maximum attempts of one job."""
    isolation: PluginIsolation | None = None
    """Overrides `node.isolation` for this plugin."""
    allow: PluginGrants = PluginGrants()
    """What it gets of what its plugin.toml asks for beyond its own job."""
    warm: Annotated[WarmUse | Literal["off"], BeforeValidator(check_table_or_off)] = WarmUse()
    """How long a process of it is kept between jobs. off: each job has a process of its own."""
    providers: tuple[Annotated[str, Field(pattern="^[A-Za-z]+ExecutionProvider$")], ...] = ()
    """What computes its model, the best first, by onnxruntime's names, as in [CUDAExecutionProvider]; empty: what its
    plugin.toml says. Each but CPUExecutionProvider takes a GPU."""
    calling_ae_title: Annotated[AETitle | None, TakenUpBy.only(Party.RECEIVERS, Party.NODE, Party.PEERS)] = None
    """Of kind dicom: what we call ourselves at its box, where that differs from what the box's entry says."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """Overrides of the plugin's own defaults, as its plugin.toml lists them."""
    envelope: EnvelopeUse = EnvelopeUse()
    """What is done with images that it was not validated on, as its plugin.toml states it."""
    allowed_by: str = ""
    """Who allowed it at this site, and when, for the inventory."""


class Configuration(Section):
    """config.yaml as a whole."""

    node: NodeSettings
    """What the node is called, where it listens, what it keeps and how much it does at once."""
    modalities: dict[Name, Modality] = Field(default_factory=dict)
    """Who may send, by a name of your choice."""
    destinations: dict[Name, Annotated[Destination, DESTINATIONS]] = Field(default_factory=dict)
    """Where results go, by a name of your choice."""
    boxes: dict[Name, VendorBox] = Field(default_factory=dict)
    """Vendors' boxes that analyse what they are sent, by a name of your choice."""
    services: dict[Name, WebService] = Field(default_factory=dict)
    """Web services that analyse what they are sent, by a name of your choice."""
    plugins: dict[Name, PluginUse] = Field(default_factory=dict)
    """Plugins as this site uses them, by the name that rules call them."""
    stop_rules: dict[Name, StopRule] = Field(default_factory=dict)
    """When a plugin is to be looked at, or stopped, by a name of your choice."""
    people: dict[Name, Person] = Field(default_factory=dict)
    """Who can be notified by rules."""
    notify: Notifications = Notifications()
    """How they are notified."""
    retention: Retention = Retention()
    """What the node deletes, and when; without this section nothing."""
    audit: AuditSettings = AuditSettings()
    """The audit trail: how long it is kept, and who gets it."""
    alerts: Alerts = Alerts()
    """Who is notified of alerts, and how often."""
    console: ConsoleSettings | None = None
    """A process that answers HTTP: figures for Prometheus, and whether the node works; absent means none."""
    heartbeat: Heartbeat | None = None
    """A sign of life for a watch outside of this machine."""
    backup: BackupSettings | None = None
    """A backup each day; absent means that the node makes none by itself."""
    ignore: Annotated[tuple[IgnoredStudies, ...], TakenUpBy.only(Party.NODE)] = ()
    """Studies that no rule is asked about: outside images, research, phantoms."""
    vendors: Annotated[tuple[Vendor, ...], TakenUpBy.only(Party.NODE)] = ()
    """Makers of AI results whose objects do not say that a program made them."""
    rules: Annotated[tuple[Rule, ...], TakenUpBy.only(Party.NODE)] = ()
    """Rules, and the files that hold some: rules.d/*.yaml"""
    tests: Annotated[tuple[Example, ...], TakenUpBy.only()] = ()
    """What is expected of the rules; they do not go live where a test fails."""

    @property
    def character_sets(self) -> dict[str, str]:
        """AE title of a sender → the character set that it is known for."""
        return {each.ae_title: each.character_set for each in self.modalities.values() if each.character_set}


MAY_BE_EMPTY = tuple(name for name in Configuration.model_fields if name != "node")
"""Sections whose entries may all be commented out."""

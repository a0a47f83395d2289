"""A job's folder before its plugin runs: copies of the chosen instances, and the request that names them.

Copies, never links: a plugin that writes into its inputs spoils its own run and nothing else. Unless the plugin or the
rule asks for the images as received, the copies and the request have pseudonyms.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from node.dicom.confidentiality.dataset import Actions
from node.dicom.confidentiality.key import Key
from node.errors import PermanentError
from node.ledger import facts, instances, job_studies, jobs, studies
from node.ledger.database import Database
from node.ledger.facts import InstanceRecord
from node.ledger.instances import Instance, InstanceStatus
from node.ledger.job import Job, JobInput
from node.ledger.studies import Study
from node.run import pseudonyms
from node.run.catalogue import SitePlugin
from node.run.handing_on import ResultsToHandOn
from node.run.identifiers import Identifiers
from node.run.laying_out import Copy, Images, Report
from node.run.pseudonyms import Translation
from node.run.returned.given import GivenIdentity, as_given
from node.store import intact
from node.store.intact import Damage
from node.store.layout import DataFolder
from plugins import exchange
from plugins.boxes import SendExtent
from plugins.exchange import InputFile, InputResult, InputSeries, PluginReference, Request, RequestFacts
from plugins.manifest import ParameterValue
from rules import values

_NO_TEXT = frozenset({"Cc", "Cs"})
"""Unicode categories of characters that no text of a request may hold."""


class InputGoneError(PermanentError):
    """The ledger does not know an instance of the job any more."""


class InputDamagedError(PermanentError):
    """Files of instances of the job are missing or not what was received."""

    def __init__(self, damages: Sequence[Damage]) -> None:
        more = f", and {len(damages) - 1} more" if len(damages) > 1 else ""
        super().__init__(f"an image is damaged or missing in the data folder: {damages[0].error}{more}")
        self.damages = damages


class InputChangedError(PermanentError):
    """An instance of the job was rejected or replaced since the decision: the job has no ground any more."""


@dataclass(frozen=True, slots=True)
class Layer:
    """What is done in another process: `node.run.laying_out.lay_out` and `node.run.handing_on.hand_on` with a pool."""

    copy: Callable[[Images], Report]
    hand_on: Callable[[ResultsToHandOn], None]


@dataclass(frozen=True, slots=True)
class JobInputs:
    """What a plugin got."""

    request: Request
    """As it is in its folder."""
    translation: Translation
    """From its answer to what is true."""
    actions: Actions


@dataclass(frozen=True)
class Inputs:
    """What one job gives to its plugin."""

    request: Request
    files: Mapping[str, Instance]
    """Name below `in/` → the received instance."""
    patient: Study
    """Whose images they are."""
    identifiers: Identifiers
    """What names the patient in the images."""
    results: Mapping[str, str] = field(default_factory=dict)
    """Name → folder of the result of an earlier step, relative to the data folder."""
    headers: tuple[Mapping[str, Any], ...] = ()
    """Of the images, as the ledger keeps them."""

    @property
    def roles(self) -> tuple[str, ...]:
        """Of each image, in the order of `headers`."""
        return tuple(series.role for series in self.request.series for _ in series.files)


def gather(database: Database, job: Job, plugin: SitePlugin, parameters: Mapping[str, ParameterValue]) -> Inputs:
    """Read from the ledger what the job is given.

    Raises `InputChangedError`, `InputGoneError`.
    """
    records = {
        instance.receipt: instance
        for series in facts.of_study(database, job.study_instance_uid, job.revision, job.look)
        for instance in series.instances
    }
    for other in _earlier_studies(database, job):
        records |= other
    files: dict[str, Instance] = {}
    series = []
    for number, chosen in enumerate(_wanted(database, job, plugin), start=1):
        rows = [_counting(database, receipt, records) for receipt in chosen.receipts]
        found = [records[row.receipt] for row in rows]
        names = [f"s{number:02}/{index:05}.dcm" for index in range(1, len(found) + 1)]
        files |= dict(zip(names, rows, strict=True))
        series.append(
            InputSeries(
                series_instance_uid=chosen.series_instance_uid,
                modality=_text(found[0].header, "Modality"),
                description=_text(found[0].header, "SeriesDescription"),
                role=chosen.role,
                files=tuple(_file(name, instance) for name, instance in zip(names, found, strict=True)),
            )
        )
    used = [records[row.receipt] for row in files.values()]
    patient = studies.get(database, job.study_instance_uid)
    assert patient is not None, job.study_instance_uid
    earlier = [(use, jobs.get(database, use.job)) for use in job.uses]
    request = Request(
        job=job.id,
        plugin=reference(plugin),
        study=_study(job, used[0].header),
        series=tuple(series),
        parameters=parameters,
        results=tuple(_result(use.name, source) for use, source in earlier),
    )
    results = {use.name: source.result for use, source in earlier if source.result is not None}
    headers = tuple(each.header for each in used)
    return Inputs(request, files, patient, _identifiers(used, patient), results, headers)


def _result(name: str, source: Job) -> InputResult:
    version = str((source.algorithm or {}).get("version", ""))
    return InputResult(name=name, step=source.step, plugin=source.plugin, version=version)


def _wanted(database: Database, job: Job, plugin: SitePlugin) -> Iterator[JobInput]:
    """What the rule chose; for a box that chooses itself, the rest of the study, too, as far as it counts."""
    yield from job.inputs
    use = plugin.manifest.runtime.box
    if use is None or use.send is not SendExtent.STUDY:
        return
    chosen = {receipt for each in job.inputs for receipt in each.receipts}
    counting = {row.receipt for row in instances.of_study(database, job.study_instance_uid)} - chosen
    for series in facts.of_study(database, job.study_instance_uid, job.revision, job.look):
        receipts = tuple(each.receipt for each in series.instances if each.receipt in counting)
        if receipts:
            yield JobInput("", series.series_instance_uid, receipts)


def _identifiers(used: Sequence[InstanceRecord], patient: Study) -> Identifiers:
    """By the headers of the images, and by what the ledger knows of the patient since."""
    stated = [patient.patient_id, patient.accession_number]
    stated += [_text(each.header, keyword) for each in used for keyword in ("PatientID", "AccessionNumber")]
    names = {_text(each.header, "PatientName") for each in used}
    return Identifiers(frozenset(names - {""}), frozenset(each for each in stated if each))


def _earlier_studies(database: Database, job: Job) -> Iterator[dict[str, InstanceRecord]]:
    """Records of the earlier studies that the job is given series of."""
    for study in (studies.get(database, uid) for uid in job_studies.earlier(database, job.id)):
        if study is not None:
            kept = facts.of_study(database, study.study_instance_uid, study.revision)
            yield {instance.receipt: instance for series in kept for instance in series.instances}


def reference(plugin: SitePlugin) -> PluginReference:
    """The plugin as a request names it."""
    identity = plugin.manifest.identity
    folder, entry = str(plugin.manifest.folder), plugin.manifest.runtime.entry
    return PluginReference(name=identity.name, version=identity.version, folder=folder, entry=entry)


def key_of(inputs: Inputs, secret: bytes) -> Key:
    """The key for the pseudonyms of a job: one patient's, also for the earlier studies that it is given.

    Where there is no Patient ID, the study is all that is known of the patient.
    """
    patient = inputs.patient
    return Key.of(secret, patient.patient_id or patient.study_instance_uid, patient.issuer_of_patient_id)


def lay_out(inputs: Inputs, folder: Path, data_folder: DataFolder, key: Key | None, layer: Layer) -> JobInputs:
    """Make the job's folder: copies, then request.json. With a key they have pseudonyms.

    Raises `InputDamagedError` where files are missing or not what was received; OSError; what `layer` raises.
    """
    folder.mkdir(parents=True, mode=0o700)
    copies: list[Copy] = []
    damages: list[Damage] = []
    for name, row in inputs.files.items():
        try:
            source = data_folder.find(row.receipt)
        except FileNotFoundError:
            damages.append(intact.missing(row, data_folder))
            continue
        copies.append(Copy(row, source, folder / exchange.IN / name))
    report = layer.copy(Images(tuple(copies), key))
    if damages := [*damages, *report.damages]:
        raise InputDamagedError(damages)
    kept = {name: data_folder.data / result for name, result in inputs.results.items()}
    layer.hand_on(ResultsToHandOn(kept, inputs.request, folder, key))
    request, translation = as_sent(inputs, key)
    exchange.write_request(folder, request)
    return JobInputs(request, translation, report.actions)


def as_sent(inputs: Inputs, key: Key | None) -> tuple[Request, Translation]:
    """The request as a plugin gets it, and the way back from it; with a key it has pseudonyms."""
    request = pseudonyms.hidden(inputs.request, key) if key else inputs.request
    uids = pseudonyms.true_uids(inputs.request, key) if key else {}
    return request, Translation(uids, inputs.identifiers, _as_given(inputs, key, uids))


def _as_given(inputs: Inputs, key: Key | None, uids: Mapping[str, str]) -> GivenIdentity:
    """What objects of the plugin may say of whose they are."""
    ids = [inputs.patient.patient_id, *(_text(header, "PatientID") for header in inputs.headers)]
    issuers = [inputs.patient.issuer_of_patient_id, *(_text(one, "IssuerOfPatientID") for one in inputs.headers)]
    study, names = inputs.request.study.study_instance_uid, inputs.identifiers.names
    return as_given(study, ids, names, inputs.headers, key, uids.values(), issuers)


def _counting(database: Database, receipt: str, records: Mapping[str, InstanceRecord]) -> Instance:
    instance = instances.by_receipt(database, receipt)
    if instance is None or receipt not in records:
        raise InputGoneError(f"receipt {receipt}: the ledger does not know it any more")
    if instance.status is not InstanceStatus.CURRENT:
        raise InputChangedError(f"SOP instance {instance.sop_instance_uid} is {instance.status} since the decision")
    return instance


def _file(name: str, instance: InstanceRecord) -> InputFile:
    rows, columns = _size(instance.header)
    return InputFile(
        name=name,
        sop_instance_uid=instance.sop_instance_uid,
        frames=max(1, instance.frames),
        frame_of_reference_uid=_text(instance.header, "FrameOfReferenceUID"),
        rows=rows,
        columns=columns,
    )


def _study(job: Job, header: Mapping[str, Any]) -> RequestFacts:
    on = values.day(_text(header, "StudyDate"))
    return RequestFacts(
        study_instance_uid=job.study_instance_uid,
        patient_sex=_text(header, "PatientSex"),
        patient_age=_age(header, on),
        study_date=on,
    )


def _age(header: Mapping[str, Any], on: date | None) -> float | None:
    """Years; from PatientAge, else from the dates of birth and study."""
    age = values.stated_age(_text(header, "PatientAge"))
    born = values.day(_text(header, "PatientBirthDate"))
    if age is None and born and on:
        age = values.age_between(born, on)
    return None if age is None else round(age.days / 365.25, 2)


def _text(header: Mapping[str, Any], keyword: str) -> str:
    """The first value of an attribute as text without padding; "" where there is none.

    Control characters are spaces: a request may hold none, and what a sender wrote into a text must not cost the job.
    """
    found = header[keyword][1] if keyword in header else []
    text = str(found[0]) if found and isinstance(found[0], str | int | float) else ""
    return "".join(" " if unicodedata.category(each) in _NO_TEXT else each for each in text).strip(values.PADDING)


def _size(header: Mapping[str, Any]) -> tuple[int, int]:
    """Rows and Columns; 0 where the header does not say."""
    rows, columns = _text(header, "Rows"), _text(header, "Columns")
    return (int(rows), int(columns)) if rows.isdecimal() and columns.isdecimal() else (0, 0)

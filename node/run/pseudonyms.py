"""A job's request as a plugin gets it under pseudonyms, and its result with the UIDs that the images really have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from node.dicom.confidentiality.key import Key
from node.run.identifiers import Identifiers
from node.run.returned.given import GivenIdentity
from node.run.rewriting import rewritten
from plugins.contract import Result
from plugins.exchange import InputFile, InputSeries, Request


@dataclass(frozen=True, slots=True)
class Translation:
    """From what a plugin knows to what is true, for one attempt."""

    uids: dict[str, str] = field(default_factory=dict)
    """Pseudonym → UID, of everything that the attempt was given; empty where it got the images as received."""
    identifiers: Identifiers = field(default_factory=Identifiers)
    given: GivenIdentity = field(default_factory=GivenIdentity)
    """What DICOM objects of the plugin may say."""

    def result(self, result: Result) -> tuple[Result, tuple[str, ...]]:
        """The result with true UIDs and without the patient's identifiers, and the fields whose text had one."""
        replaced: list[str] = []

        def change(path: str, text: str) -> str | None:
            if path.endswith("_uid"):
                return self.uids.get(text, text)
            without = self.identifiers.without(text)
            if without == text:
                return text
            replaced.append(path)
            return None if path.endswith("tracking_id") else without  # has to be unique: the node makes one

        return rewritten(result, change), tuple(dict.fromkeys(replaced))


def hidden(request: Request, key: Key) -> Request:
    """The request with pseudonyms for UIDs, the date moved, and without the descriptions that people typed."""
    study = request.study
    on = study.study_date
    return replace(
        request,
        study=replace(
            study,
            study_instance_uid=key.uid(study.study_instance_uid),
            study_date=_moved(on, key.days) if on else None,
        ),
        series=tuple(_hidden_series(series, key) for series in request.series),
    )


def _moved(on: date, days: int) -> date | None:
    """None for a day that the calendar has not, such as 1 January of year 1, which some senders mean as none."""
    try:
        return on + timedelta(days)
    except OverflowError:
        return None


def _hidden_series(series: InputSeries, key: Key) -> InputSeries:
    return replace(
        series,
        series_instance_uid=key.uid(series.series_instance_uid),
        description="",
        files=tuple(_hidden_file(file, key) for file in series.files),
    )


def _hidden_file(file: InputFile, key: Key) -> InputFile:
    return replace(
        file,
        sop_instance_uid=key.uid(file.sop_instance_uid),
        frame_of_reference_uid=key.uid(file.frame_of_reference_uid),
    )


def true_uids(request: Request, key: Key) -> dict[str, str]:
    """Pseudonym → UID, of all that the request names."""
    return {key.uid(uid): uid for uid in _uids(request) if uid}


def _uids(request: Request) -> Iterator[str]:
    yield request.study.study_instance_uid
    for series in request.series:
        yield series.series_instance_uid
        for file in series.files:
            yield file.sop_instance_uid
            yield file.frame_of_reference_uid

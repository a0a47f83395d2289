"""The earlier scans of the phantom: which of them can be compared with today's, and what they measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydicom import Dataset

from plugins.contract import NotApplicableError, Series
from plugins.ct_qa.readings import Reading

LEAST = 3
"""From this number of earlier scans on their mean says more than the last one."""
_SAME = {
    "DeviceSerialNumber": "scanner",
    "StationName": "scanner",
    "KVP": "tube voltage",
    "ConvolutionKernel": "kernel",
    "SliceThickness": "slice thickness",
}
"""What changes the numbers although the scanner is as it was."""
_NO_TIME = "000000"


@dataclass(frozen=True, slots=True)
class EarlierScan:
    """One of them."""

    before: timedelta
    """How long before today's."""
    reading: Reading


@dataclass(frozen=True, slots=True)
class ScanHistory:
    """Those that can be compared, oldest first; of the others a remark."""

    scans: tuple[EarlierScan, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def last(self) -> Reading | None:
        """The newest one."""
        return self.scans[-1].reading if self.scans else None

    def mean(self, value: Callable[[Reading], float]) -> float | None:
        """The mean of a number; None where there are too few scans."""
        return sum(value(each.reading) for each in self.scans) / len(self.scans) if len(self.scans) >= LEAST else None


def read(today: Dataset, earlier: Sequence[Series], measured: Callable[[Series], Reading]) -> ScanHistory:
    """Measure all that can be compared; what is wrong with an earlier scan never costs today's result."""
    scans, remarks = [], []
    for series in earlier:
        header = series.headers()[0]
        before = _moment(today) - _moment(header)
        try:
            if differs := _differs(today, header):
                raise NotApplicableError(differs)
            if before <= timedelta():
                raise NotApplicableError("it is not dated before today's.")
            scans.append(EarlierScan(before, measured(series)))
        except NotApplicableError as reason:
            remarks.append(f"An earlier scan cannot be compared with: {reason}"[:256])
    counted = tuple(f"{text} ({remarks.count(text)} scans)" for text in dict.fromkeys(remarks))
    if not earlier:
        counted = ("No earlier scan was handed over: no trend.",)
    return ScanHistory(tuple(sorted(scans, key=lambda each: -each.before)), counted)


def _differs(today: Dataset, header: Dataset) -> str:
    for keyword, name in _SAME.items():
        now, then = (str(each.get(keyword) or "") for each in (today, header))
        if now != then:
            return f"another {name} ({then or 'not stated'} then, {now or 'not stated'} now)."
    return ""


def _moment(header: Dataset) -> datetime:
    """When it was scanned; the node moves all dates of a patient by the same number of days."""
    on = str(header.get("AcquisitionDate") or header.get("StudyDate") or "")
    at = (str(header.get("AcquisitionTime") or header.get("StudyTime") or "") + _NO_TIME)[:6]
    try:
        return datetime.strptime(on + at, "%Y%m%d%H%M%S")  # noqa: DTZ007 - only differences are used
    except ValueError as error:
        raise NotApplicableError(f"It cannot be said when it was scanned: {on!r}.") from error

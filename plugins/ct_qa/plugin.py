"""The plugin: finds the phantom, measures it, and says what is out of limits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from plugins.contract import (
    Code,
    Ellipse,
    Finding,
    ImageReference,
    KeyImage,
    Measurement,
    NotApplicableError,
    Parameters,
    Picture,
    ReferenceRange,
    Region,
    Result,
    ResultStatus,
    Series,
    Study,
    Unit,
    Volume,
)
from plugins.ct_qa import codes, cylinder, history, pictures, readings, trend_page
from plugins.ct_qa.cylinder import Cylinder
from plugins.ct_qa.history import ScanHistory
from plugins.ct_qa.readings import Circle, Reading
from plugins.ct_qa.trend_page import TrendLine
from plugins.stored_values import rescale_unit

EARLIER = "prior"
"""Role of earlier scans of the same phantom on the same scanner."""
_WINDOW = (0.0, 100.0)
_NOTICE = "For technical quality control, not for diagnosis."


@dataclass(frozen=True, slots=True)
class Check:
    """One number and its limits."""

    code: Code
    name: str
    """In the summary."""
    value: float
    limit: float | None
    """How far from 0 it may be; None: it is only told."""
    unit: Unit = codes.HOUNSFIELD

    @property
    def is_out(self) -> bool:
        """Whether it is out of limits."""
        return self.limit is not None and abs(self.value) > self.limit

    def measurement(self) -> Measurement:
        """For the report."""
        limits = None if self.limit is None else ReferenceRange(-self.limit, self.limit, "limits of the site's rule")
        return Measurement(self.code, round(self.value, 2), self.unit, reference_range=limits, decimals=1)

    def __str__(self) -> str:
        """`CT number of water 7.1 HU (limit ±5)`."""
        unit = "%" if self.unit is codes.PERCENT else "HU"
        return f"{self.name} {self.value:+.1f} {unit} (limit ±{self.limit:g})"


class CTQA:
    """Daily quality control of a CT scanner on a water phantom; see README.md for method and limits."""

    def analyse(self, study: Study, parameters: Parameters) -> Result:
        """Whether any number is out of limits, all numbers, the five regions, and a picture."""
        today = [each for each in study.series if each.role != EARLIER]
        if len(today) != 1:
            raise NotApplicableError(f"{len(today)} series were handed over; one scan is checked at a time.")
        volume, found, reading = _measured(today[0])
        earlier = [each for each in study.series if each.role == EARLIER]
        past = history.read(today[0].headers()[0], earlier, lambda series: _measured(series)[2])
        checks = [*_checks(reading, parameters), *_trend(reading, past, parameters)]
        return _result(volume, found, reading, checks, past, parameters)


def _measured(series: Series) -> tuple[Volume, Cylinder, Reading]:
    headers = series.headers()
    for header in headers:
        if header.get("Modality") != "CT":
            raise NotApplicableError(f"The images are {header.get('Modality') or 'of no stated modality'}, not CT.")
        if rescale_unit(header.get("RescaleType")) not in ("", "HU", "US"):
            raise NotApplicableError(f"The values are {header.RescaleType} (Rescale Type), not HU.")
    volume = series.volume()
    found = cylinder.find(volume)
    return volume, found, readings.read(volume, found)


def _checks(reading: Reading, parameters: Parameters) -> Iterator[Check]:
    yield Check(codes.WATER, "CT number of water", reading.water, parameters["maximum_water_hu"])
    yield Check(codes.UNIFORMITY, "non-uniformity", reading.uniformity, parameters["maximum_nonuniformity_hu"])
    yield Check(codes.RING, "ring artifact", reading.ring, parameters["maximum_ring_hu"])
    yield Check(codes.SPOT, "local deviation", reading.spot, parameters["maximum_spot_hu"])
    baseline = parameters["baseline_noise_hu"]
    if baseline:
        limit = parameters["maximum_noise_change_percent"] / 100 * baseline
        yield Check(codes.NOISE_CHANGE, "noise, from the baseline", reading.noise - baseline, limit)
    yield from (Check(codes.REGIONS[name], name, value, None) for name, value in reading.edges.items())


def _trend(reading: Reading, past: ScanHistory, parameters: Parameters) -> Iterator[Check]:
    """A jump shows against the last scan, what creeps against the mean of many."""
    drift, share = parameters["maximum_drift_hu"], parameters["maximum_noise_change_percent"] / 100
    if past.last is not None:
        yield Check(codes.DRIFT, "change of water since last time", reading.water - past.last.water, drift)
        if not parameters["baseline_noise_hu"]:
            change = reading.noise - past.last.noise
            yield Check(codes.NOISE_CHANGE, "change of noise since last time", change, share * past.last.noise)
    water, noise = past.mean(lambda each: each.water), past.mean(lambda each: each.noise)
    if water is not None and noise is not None:
        count = len(past.scans)
        yield Check(codes.TREND, f"water, from the mean of {count} scans", reading.water - water, drift)
        yield Check(codes.NOISE_TREND, f"noise, from the mean of {count} scans", reading.noise - noise, share * noise)


def _trend_picture(
    reading: Reading, past: ScanHistory, parameters: Parameters, out: Sequence[str]
) -> Iterator[Picture]:
    """Nothing where there is nothing to compare with."""
    if not past.scans:
        return
    days = [*(each.before / timedelta(days=1) for each in past.scans), 0.0]
    readings = [*(each.reading for each in past.scans), reading]
    usual = parameters["baseline_noise_hu"] or past.mean(lambda each: each.noise) or readings[-2].noise
    share = parameters["maximum_noise_change_percent"] / 100
    water, uniformity = parameters["maximum_water_hu"], parameters["maximum_nonuniformity_hu"]
    lines = (
        TrendLine("CT number of water, HU", days, [each.water for each in readings], (-water, water)),
        TrendLine("Noise, HU", days, [each.noise for each in readings], (usual * (1 - share), usual * (1 + share))),
        TrendLine("Edge minus center, HU", days, [each.uniformity for each in readings], (-uniformity, uniformity)),
    )
    yield Picture(trend_page.draw(lines, out), f"Water phantom: the last {len(days)} scans, with the limits")


def _result(
    volume: Volume,
    found: Cylinder,
    reading: Reading,
    checks: Sequence[Check],
    past: ScanHistory,
    parameters: Parameters,
) -> Result:
    out = [check for check in checks if check.is_out]
    image = volume.frames[found.slices[len(found.slices) // 2]]
    numbers = Finding(
        code=codes.QUALITY,
        measurements=(
            Measurement(codes.NOISE, round(reading.noise, 2), codes.HOUNSFIELD, decimals=1),
            *(check.measurement() for check in checks if check.code not in codes.REGIONS.values()),
        ),
        tracking_id="Water phantom",
    )
    words = "; ".join(map(str, out))
    verdict = Finding(code=codes.OUT_OF_LIMITS, present=bool(out), tracking_id="Limits", comment=words)
    shown = pictures.draw(volume, found, reading, [str(check) for check in out])
    return Result(
        status=ResultStatus.FINDINGS if out else ResultStatus.NO_FINDINGS,
        summary=_summary(reading, out),
        findings=(verdict, numbers, *_regions(reading, checks, image)),
        key_images=(KeyImage(image, "Middle of the water phantom", _WINDOW),),
        pictures=(
            Picture(shown, "Water phantom: five regions, their CT numbers, and the profile", sources=(image,)),
            *_trend_picture(reading, past, parameters, [*map(str, out)]),
        ),
        quality=past.remarks,
    )


def _summary(reading: Reading, out: Sequence[Check]) -> str:
    verdict = "OUT OF LIMITS: " + "; ".join(map(str, out)) if out else "Within all limits"
    return (
        f"CT quality control, water phantom. {verdict}. Water {reading.water:+.1f} HU, noise {reading.noise:.1f} HU, "
        f"edge minus center {reading.uniformity:+.1f} HU. {_NOTICE}"
    )


def _regions(reading: Reading, checks: Sequence[Check], image: ImageReference) -> Iterator[Finding]:
    """Each of the five regions with its number, where it is on the middle slice."""
    measured = {check.code: check for check in checks}
    for name, circle in reading.regions.items():
        code = codes.REGIONS[name]
        yield Finding(
            code=code,
            measurements=(measured[code].measurement(),),
            regions=(_outline(circle, image),),
            tracking_id=name.capitalize(),
        )


def _outline(circle: Circle, image: ImageReference) -> Region:
    """The region on the middle slice: ends of the axes, (column, row), the centre of the first pixel is (0.5, 0.5)."""
    row, column, radius = circle.row + 0.5, circle.column + 0.5, circle.radius
    points = [(column - radius, row), (column + radius, row), (column, row - radius), (column, row + radius)]
    return Ellipse(np.array(points), image)

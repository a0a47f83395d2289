"""What a result says, line by line, for somebody at a terminal."""

from __future__ import annotations

from plugins.contract import Finding, Measurement, Result


def lines(result: Result) -> list[str]:
    """What the result says, one line each."""
    shown = [f"{result.status.value}: {result.summary}"]
    for finding in result.findings:
        shown.append(_finding_line(finding))
        shown += [f"    {_measurement_line(measurement)}" for measurement in finding.measurements]
    shown += [f"note: {note}" for note in result.quality]
    if result.segmentation is not None:
        for segment in result.segmentation.segments:
            voxels = sum(int((plane == segment.number).sum()) for plane in result.segmentation.planes)
            shown.append(f"segment {segment.number}: {segment.label}, {voxels} voxels")
    shown += [f"heat map: {heatmap.label}, {heatmap.values.shape}" for heatmap in result.heatmaps]
    shown += [f"key image: {image.reason} ({image.image.sop_instance_uid})" for image in result.key_images]
    shown += [
        f"picture: {picture.caption}, {picture.pixels.shape[1]} × {picture.pixels.shape[0]}"
        for picture in result.pictures
    ]
    return shown


def _finding_line(finding: Finding) -> str:
    state = {True: ": present", False: ": absent", None: ""}[finding.present]
    side = finding.site.laterality.meaning if finding.site and finding.site.laterality else ""
    site = f" ({' '.join(part for part in (finding.site.region.meaning, side) if part)})" if finding.site else ""
    score = f", {finding.score.name} {finding.score.value:g}" if finding.score else ""
    return f"{finding.code.meaning}{site}{state}{score}"


def _measurement_line(measurement: Measurement) -> str:
    name = measurement.concept.meaning
    if measurement.derivation is not None:
        name = f"{name}, {measurement.derivation.meaning}"
    if measurement.value is None:
        return f"{name}: {measurement.no_value}"
    return f"{name}: {measurement.value:.{measurement.decimals}f} {measurement.unit.code}"

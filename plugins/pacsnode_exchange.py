"""The exchange with a pacsnode node in one file, for interpreters older than the node's (Python 3.8 and NumPy).

Copy this file beside your program; it needs nothing else. `plugin.toml` runs the program as a command:

    [runtime]
    kind = "command"
    command = ["/opt/old/bin/python", "analyse.py", "{folder}"]

    import pacsnode_exchange as exchange

    def analyse(job):
        volume = exchange.read_volume(job.series[0])
        mask = volume.array > job.parameters["threshold_hu"]
        litres = float(mask.sum()) * volume.voxel_volume / 1000
        size = exchange.measurement(("118565006", "SCT", "Volume"), litres, "L")
        body = exchange.finding(("BODY", "99ACME", "Body within the scan"), segments=[1], measurements=[size])
        part = exchange.segment(1, "Body", ("91723000", "SCT", "Anatomical Structure"), ("38266002", "SCT", "Body"))
        shown = exchange.segmentation(mask, volume.frames, [part])
        return exchange.result("findings", f"The body has {litres:.1f} L.", findings=[body], segmentation=shown)

    if __name__ == "__main__":
        exchange.main(analyse)

What is written is checked by the node, as everything that a plugin writes (docs/plugins.md, "Any other language").
Images are read here only where their pixels are not compressed (Implicit or Explicit VR Little Endian) and one image is
one slice; `read_volume` refuses everything else, and everything whose geometry or scale is not certain, with
`NotApplicable`: read compressed and multi-frame images with pydicom (`series.files`).
"""

from __future__ import annotations

import json
import math
import os
import shutil
import struct
import sys
import traceback
from collections import namedtuple
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

SCHEMA = 1
"""Version of the exchange."""


class NotApplicable(Exception):  # noqa: N818 - it is no error: the images are not what the algorithm is for
    """These images are not what the algorithm is for; the message is the reason that a radiologist reads."""


ExchangedSeries = namedtuple("ExchangedSeries", "series_instance_uid modality description role files uids")
"""One series: `files` are paths, `uids` the SOP Instance UIDs of the files, in their order."""


class ExchangedVolume(namedtuple("ExchangedVolume", "array spacing affine frames frame_of_reference_uid")):
    """A stack of slices.

    `array` float32 (slices, rows, columns) in rescaled units; `spacing` mm between slices, rows, columns; `affine` maps
    (column, row, slice, 1) to x, y, z in mm, LPS; `frames` the source image of each slice.
    """

    @property
    def voxel_volume(self) -> float:
        """Volume of one voxel in mL."""
        return float(np.prod(self.spacing)) / 1000


class ExchangedJob:
    """What is asked: `parameters`, `series`, `study` (study_instance_uid, patient_sex, patient_age, study_date).

    `results` are the names under which the rule gives results of earlier steps: see `findings` and `mask`.
    """

    def __init__(self, folder: str) -> None:
        with open(os.path.join(folder, "request.json"), encoding="utf-8") as file:
            request = json.load(file)
        if request.get("schema") != SCHEMA:
            raise ValueError(f"request.json: expected the schema {SCHEMA}, got {request.get('schema')!r}")
        self.folder = folder
        self.out = os.path.join(folder, "out")
        self.scratch = os.path.join(folder, "scratch")
        self.parameters: dict[str, Any] = request.get("parameters", {})
        self.study: dict[str, Any] = request["study"]
        self.series = [self._series(each) for each in request["series"]]
        self.results = [str(each["name"]) for each in request.get("results", [])]

    def _series(self, given: Mapping[str, Any]) -> ExchangedSeries:
        files = [os.path.join(self.folder, "in", *each["name"].split("/")) for each in given["files"]]
        uids = [each["sop_instance_uid"] for each in given["files"]]
        uid, modality = given["series_instance_uid"], given["modality"]
        return ExchangedSeries(uid, modality, given.get("description", ""), given.get("role", ""), files, uids)

    def by_role(self, role: str) -> ExchangedSeries:
        """The one series handed over under `role`."""
        found = [each for each in self.series if each.role == role]
        if len(found) != 1:
            raise ValueError(f"{len(found)} series have the role {role!r}, expected one")
        return found[0]

    def findings(self, name: str) -> list[dict[str, Any]]:
        """What the earlier step found whose result has this name, as `finding` makes them."""
        return list(self._earlier(name).get("findings", []))

    def mask(self, name: str, frames: Sequence[Any]) -> tuple[Any, dict[int, dict[str, Any]]]:
        """The earlier step's segmentation on these frames, such as those of a volume, in their order.

        Returns the labels, whole numbers of the shape (slices, rows, columns), 0 where there is none, and by number
        what each label is, as `segment` makes it. A frame of which the segmentation says nothing has no label.
        `NotApplicable` where there is no segmentation; ValueError where it lies on none of the frames, or they differ
        in size: another image's mask must never pass for an empty one.
        """
        given = self._earlier(name).get("segmentation")
        if given is None:
            raise NotApplicable(f"The earlier step that is to give {name!r} has returned no segmentation.")
        planes = self._planes(name, given["labels"])
        by_frame = {_key(each): planes[index] for index, each in enumerate(given["frames"])}
        wanted = [_key(image(each)) for each in frames]
        there = [by_frame[each] for each in wanted if each in by_frame]
        if not there:
            raise ValueError(f"the segmentation {name!r} lies on none of these frames")
        if len({plane.shape for plane in there}) != 1:
            raise ValueError(f"the frames of the segmentation {name!r} differ in size")
        labels = np.stack([by_frame.get(each, np.zeros_like(there[0])) for each in wanted])
        return labels, {int(each["number"]): each for each in given["segments"]}

    def _earlier(self, name: str) -> dict[str, Any]:
        if name not in self.results:
            raise ValueError(f"the rule gives no earlier result the name {name!r}; it gives {self.results}")
        with open(os.path.join(self.folder, "in", "results", name, "result.json"), encoding="utf-8") as file:
            found: dict[str, Any] = json.load(file)
        return found

    def _planes(self, name: str, labels: Any) -> list[Any]:
        """A label map, or one plane for each frame."""
        arrays = [labels] if isinstance(labels, dict) else list(labels)
        folder = os.path.join(self.folder, "in", "results", name)
        loaded = [np.load(os.path.join(folder, each["array"]), allow_pickle=False) for each in arrays]
        return list(loaded[0]) if isinstance(labels, dict) else loaded


def _key(reference: Mapping[str, Any]) -> tuple[str, int]:
    """A frame, to be compared."""
    return reference["sop_instance_uid"], int(reference.get("frame_number", 1))


# --- results ---------------------------------------------------------------------------------------


def code(given: Any) -> dict[str, str]:
    """A coded concept from (value, scheme, meaning)."""
    value, scheme, meaning = given
    return {"value": str(value), "scheme": str(scheme), "meaning": str(meaning)}


def image(given: Any) -> dict[str, Any]:
    """A reference to an image from its SOP Instance UID, or from (UID, frame number)."""
    uid, number = (given, 1) if isinstance(given, str) else given
    return {"sop_instance_uid": str(uid), "frame_number": int(number)}


def site(region: Any, laterality: Any = None) -> dict[str, Any]:
    """Where in the body: a region, with its side where it has one."""
    return _without_none(region=code(region), laterality=laterality and code(laterality))


def measurement(concept: Any, value: float | None, unit: str, **more: Any) -> dict[str, Any]:
    """A number with its meaning and UCUM unit; without a value `no_value="cannot_be_computed"` or `"not_attempted"`."""
    return {"concept": code(concept), "value": None if value is None else float(value), "unit": {"code": unit}, **more}


def score(value: float, threshold: float | None = None, **more: Any) -> dict[str, Any]:
    """How likely, from 0 to 1."""
    return _without_none(value=float(value), threshold=None if threshold is None else float(threshold), **more)


def point(on: Any, column: float, row: float) -> dict[str, Any]:
    """A point on an image; the centre of the first pixel is (0.5, 0.5)."""
    return {"type": "Point", "image": image(on), "points": [[float(column), float(row)]]}


def box(on: Any, column: float, row: float, width: float, height: float) -> dict[str, Any]:
    """A rectangle on an image: its top left corner and its size in pixels."""
    corners = [[float(column), float(row)], [float(column) + float(width), float(row) + float(height)]]
    return {"type": "Box", "image": image(on), "points": corners}


def polygon(on: Any, points: Iterable[Any]) -> dict[str, Any]:
    """An outline on an image through (column, row) points; the first is not repeated."""
    return {"type": "Polygon", "image": image(on), "points": [[float(x), float(y)] for x, y in points]}


def finding(of: Any, present: bool | None = None, **more: Any) -> dict[str, Any]:
    """One thing looked for; `more`: score, site, measurements, regions, segments, tracking_id, urgent, comment."""
    made = dict(more, code=code(of))
    if present is not None:
        made["present"] = bool(present)
    if isinstance(made.get("score"), float):
        made["score"] = score(made["score"])
    if "segments" in made:
        made["segments"] = [int(each) for each in made["segments"]]
    return made


def segment(number: int, label: str, category: Any, of: Any, **more: Any) -> dict[str, Any]:
    """What one label of a segmentation is; `more`: site, colour (three numbers from 0 to 255), tracking_id."""
    return dict(more, number=int(number), label=label, category=code(category), type=code(of))


def segmentation(labels: Any, frames: Sequence[Any], segments: Sequence[Any]) -> dict[str, Any]:
    """Labels of the shape (slices, rows, columns); true and false where there is one segment."""
    array = np.asarray(labels)
    if array.dtype == np.bool_:
        if len(segments) != 1:
            raise ValueError(f"a mask of true and false is one segment, but {len(segments)} are described")
        array = np.where(array, segments[0]["number"], 0)
    low, high = (array.min(), array.max()) if array.size else (0, 0)
    if array.dtype.kind not in "iu" or low < 0 or high > 65535:
        raise ValueError(f"labels: expected whole numbers from 0 to 65535, got {array.dtype} from {low} to {high}")
    if array.ndim != 3 or len(array) != len(frames):
        raise ValueError(f"labels: expected ({len(frames)}, rows, columns), got {array.shape}")
    stored = array.astype(np.uint8 if high < 256 else np.uint16)
    return {"labels": stored, "frames": [image(each) for each in frames], "segments": list(segments)}


def heatmap(values: Any, frames: Sequence[Any], quantity: Any, **more: Any) -> dict[str, Any]:
    """Numbers over images, of the shape (slices, rows, columns); `more`: label, unit."""
    return dict(
        more, values=np.asarray(values, np.float32), frames=[image(each) for each in frames], quantity=code(quantity)
    )


def picture(pixels: Any, caption: str, sources: Iterable[Any] = ()) -> dict[str, Any]:
    """A picture of uint8, (rows, columns, 3)."""
    array = np.asarray(pixels)
    if array.dtype != np.uint8:
        raise ValueError(f"pixels: expected uint8, got {array.dtype}")
    return {"pixels": array, "caption": caption, "sources": [image(each) for each in sources]}


def key_image(of: Any, reason: str, window: Sequence[float] | None = None) -> dict[str, Any]:
    """A source image worth looking at, and why."""
    return _without_none(image=image(of), reason=reason, window=window and [float(each) for each in window])


def result(status: str, summary: str, **parts: Any) -> dict[str, Any]:
    """All that is said; `parts`: findings, segmentation, heatmaps, key_images, pictures, objects, quality."""
    return dict(parts, status=status, summary=summary)


def returned(job: ExchangedJob, path: str) -> dict[str, Any]:
    """A DICOM object that the program made itself; its file is copied to where the node finds it."""
    folder = os.path.join(job.out, "dicom")
    os.makedirs(folder, exist_ok=True)
    name = f"{len(os.listdir(folder)) + 1:06d}.dcm"
    shutil.copyfile(path, os.path.join(folder, name))
    return {"file": "dicom/" + name}


def _without_none(**given: Any) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


def write_result(job: ExchangedJob, said: Mapping[str, Any]) -> None:
    """Write the arrays, then result.json under another name, which is renamed when it is whole."""
    count = [0]

    def plain(value: Any, name: str = "") -> Any:
        if isinstance(value, np.ndarray):
            count[0] += 1
            file_name = f"{name}-{count[0]}.npy"
            np.save(os.path.join(job.out, file_name), np.ascontiguousarray(value), allow_pickle=False)
            return {"array": file_name}
        if isinstance(value, dict):
            return {key: plain(each, key) for key, each in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(each, name) for each in value]
        return value.item() if isinstance(value, np.generic) else value

    document = dict(plain(dict(said)), schema=SCHEMA)
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1)
    part = os.path.join(job.out, "result.json.part")
    with open(part, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, os.path.join(job.out, "result.json"))


def main(analyse: Callable[[ExchangedJob], Mapping[str, Any]], arguments: Sequence[str] | None = None) -> None:
    """Run one job: the folder is the last argument. What `analyse` raises becomes a result that says so."""
    job = ExchangedJob(list(sys.argv if arguments is None else arguments)[-1])
    try:
        write_result(job, analyse(job))
    except NotApplicable as reason:
        write_result(job, result("not_applicable", str(reason)[:1024] or "These images are not what it is for."))
    except Exception as error:  # noqa: BLE001 - whatever it is, readers get plain words and the admin the line
        where = traceback.extract_tb(error.__traceback__)[-1]
        with open(os.path.join(job.out, "error.txt"), "w", encoding="utf-8") as file:
            file.write(f"{type(error).__name__}, {os.path.basename(where.filename)} line {where.lineno}\n")
        with open(os.path.join(job.out, "worker.log"), "a", encoding="utf-8") as file:
            file.write(traceback.format_exc())
        stopped = (
            "The analysis program stopped because of an error. Nothing can be concluded from this about the images."
        )
        write_result(job, result("failed", stopped))


# --- volumes ---------------------------------------------------------------------------------------

_IMPLICIT, _EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
_LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
_UNDEFINED = 0xFFFFFFFF
_PIXELS, _PADDING = (0x7FE0, 0x0010), (0x0028, 0x0120)
_TEXTS = {
    (0x0008, 0x0008): "ImageType",
    (0x0008, 0x0018): "SOPInstanceUID",
    (0x0008, 0x0060): "Modality",
    (0x0020, 0x000E): "SeriesInstanceUID",
    (0x0020, 0x0052): "FrameOfReferenceUID",
    (0x0018, 0x1210): "ConvolutionKernel",
    (0x0028, 0x0004): "PhotometricInterpretation",
    (0x0028, 0x0051): "CorrectedImage",
    (0x0028, 0x1054): "RescaleType",
    (0x0054, 0x1001): "Units",
    (0x0054, 0x1006): "SUVType",
    (0x0054, 0x1102): "DecayCorrection",
}
_NUMBERS = {
    (0x0018, 0x0050): "SliceThickness",
    (0x0018, 0x0060): "KVP",
    (0x0018, 0x0081): "EchoTime",
    (0x0018, 0x0082): "InversionTime",
    (0x0018, 0x1314): "FlipAngle",
    (0x0018, 0x9087): "DiffusionBValue",
    (0x0020, 0x0032): "ImagePositionPatient",
    (0x0020, 0x0037): "ImageOrientationPatient",
    (0x0020, 0x0100): "TemporalPositionIdentifier",
    (0x0028, 0x0008): "NumberOfFrames",
    (0x0028, 0x0030): "PixelSpacing",
    (0x0028, 0x1052): "RescaleIntercept",
    (0x0028, 0x1053): "RescaleSlope",
}
_SHORTS = {
    (0x0028, 0x0002): "SamplesPerPixel",
    (0x0028, 0x0010): "Rows",
    (0x0028, 0x0011): "Columns",
    (0x0028, 0x0100): "BitsAllocated",
    (0x0028, 0x0101): "BitsStored",
    (0x0028, 0x0102): "HighBit",
    (0x0028, 0x0103): "PixelRepresentation",
}
_SAME = (
    *("SeriesInstanceUID", "Modality", "FrameOfReferenceUID", "PhotometricInterpretation", "RescaleType", "Units"),
    *("Rows", "Columns", "BitsStored", "PixelRepresentation", "EchoTime", "InversionTime", "DiffusionBValue"),
    *("ConvolutionKernel", "CorrectedImage", "SUVType", "DecayCorrection", "KVP", "FlipAngle", "Contents"),
    "TemporalPositionIdentifier",
)
"""What one volume has once."""
_REFUSED = {
    (0x0028, 0x3000): "a Modality LUT Sequence",
    (0x0040, 0x9096): "a mapping to real-world values",
    (0x3004, 0x000E): "a Dose Grid Scaling",
    (0x5200, 0x9230): "functional groups",
}


def read_volume(series: ExchangedSeries) -> ExchangedVolume:
    """The series as one volume, in the order of the slice normal; `NotApplicable` for what is not certain."""
    images = [_read_image(path) for path in series.files]
    if not images:
        raise NotApplicable("The series holds no images.")
    first = images[0]
    for each in images:
        for keyword in _SAME:
            if each.get(keyword) != first.get(keyword):
                raise NotApplicable(f"The images differ in {keyword}: {first.get(keyword)} and {each.get(keyword)}.")
        for keyword, off in (("ImageOrientationPatient", 1e-3), ("PixelSpacing", 1e-3 * min(first["PixelSpacing"]))):
            if np.abs(np.subtract(each[keyword], first[keyword])).max() > off:
                raise NotApplicable("The images differ in {} ({}).".format(keyword, each["SOPInstanceUID"]))
        if ("RescaleSlope" in each) != ("RescaleSlope" in first):
            raise NotApplicable("Only some of the images have a rescale: their values are not on one scale.")
    row, column = np.array(first["ImageOrientationPatient"][:3]), np.array(first["ImageOrientationPatient"][3:])
    normal = np.cross(row, column)
    images.sort(key=lambda each: float(np.dot(each["ImagePositionPatient"], normal)))
    step = _step(images, normal)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = row * images[0]["PixelSpacing"][1], column * images[0]["PixelSpacing"][0]
    affine[:3, 2], affine[:3, 3] = step, images[0]["ImagePositionPatient"]
    return ExchangedVolume(
        np.stack([_values(each) for each in images]),
        (float(np.linalg.norm(step)), images[0]["PixelSpacing"][0], images[0]["PixelSpacing"][1]),
        affine,
        tuple((each["SOPInstanceUID"], 1) for each in images),
        first.get("FrameOfReferenceUID") or None,
    )


def _step(images: Sequence[Mapping[str, Any]], normal: Any) -> Any:
    """Vector in mm from one slice to the next."""
    places = np.array([each["ImagePositionPatient"] for each in images])
    if len(images) == 1:
        thickness = images[0].get("SliceThickness", (0.0,))[0]
        if not thickness > 0:
            raise NotApplicable("There is a single image, and its slice thickness is not given.")
        return normal * thickness
    step = (places[-1] - places[0]) / (len(places) - 1)
    gaps = np.diff(places @ normal)
    if gaps.min() < 0.01:
        raise NotApplicable("Two images lie at one position: several phases or echoes, or an image twice.")
    usual = float(np.median(gaps))
    if np.abs(gaps - usual).max() > max(0.05 * usual, 0.02):
        raise NotApplicable(f"The slices are from {gaps.min():.3g} to {gaps.max():.3g} mm apart: some are missing.")
    along = float(step @ normal)
    if np.linalg.norm(step - along * normal) > math.tan(math.radians(0.5)) * along:
        raise NotApplicable("The stack is sheared (gantry tilt). It must be reconstructed without tilt.")
    off = places - (places[0] + np.arange(len(places))[:, None] * step)
    off = off - (off @ normal)[:, None] * normal
    if np.linalg.norm(off, axis=1).max() > max(images[0]["PixelSpacing"]) / 2:
        raise NotApplicable("The slices are shifted against each other within their planes.")
    return step


def _values(header: Mapping[str, Any]) -> Any:
    """Rescaled values of one image: the bits above Bits Stored are no part of them."""
    signed, unused = header["PixelRepresentation"], header["BitsAllocated"] - header["BitsStored"]
    kind = f"<{'i' if signed else 'u'}{header['BitsAllocated'] // 8}"
    with open(header["path"], "rb") as file:
        file.seek(header["pixels"])
        raw = np.frombuffer(file.read(header["length"]), kind).reshape(header["Rows"], header["Columns"])
    values = np.right_shift(np.left_shift(raw, unused), unused)
    if "RescaleSlope" in header:
        values = values.astype(np.float64) * header["RescaleSlope"][0] + header["RescaleIntercept"][0]
    return values.astype(np.float32)


def _read_image(path: str) -> dict[str, Any]:
    """The header of one slice, checked; `pixels` and `length` say where its pixels are in the file."""
    header: dict[str, Any] = {"path": path}
    try:
        with open(path, "rb") as file:
            for tag, position, length, read in _elements(file):
                if tag in _REFUSED and length:
                    raise NotApplicable(f"{_name(header)} has {_REFUSED[tag]}, which this reader does not know.")
                if 0x6000 <= tag[0] < 0x6020 and tag[1] == 0x0100 and struct.unpack("<H", read()) != (1,):
                    raise NotApplicable(f"{_name(header)} has an overlay within its pixels.")
                if tag == _PADDING:
                    header["padding"] = read()
                if tag == _PIXELS:
                    header["pixels"], header["length"] = position, length
                    break
                _take(header, tag, read)
    except (struct.error, ValueError, UnicodeDecodeError) as error:
        raise NotApplicable(f"The file {os.path.basename(path)} cannot be read as DICOM.") from error
    _check(header)
    return header


def _name(header: Mapping[str, Any]) -> str:
    return "SOP instance {}".format(header.get("SOPInstanceUID", os.path.basename(header["path"])))


def _take(header: dict[str, Any], tag: tuple[int, int], read: Callable[[], bytes]) -> None:
    if tag in _TEXTS:
        header[_TEXTS[tag]] = read().decode("ascii", "replace").strip(" \0")
    elif tag in _SHORTS:
        header[_SHORTS[tag]] = struct.unpack("<H", read())[0]
    elif tag == (0x0018, 0x9087):  # the one that is a double
        header["DiffusionBValue"] = struct.unpack("<d", read())
    elif tag in _NUMBERS:
        text = read().decode("ascii").strip(" \0")
        if "_" in text:
            raise ValueError("an underscore in a number")
        numbers = tuple(float(each) for each in text.split("\\") if each.strip())
        if numbers:
            header[_NUMBERS[tag]] = numbers


def _check(header: dict[str, Any]) -> None:
    """Raise where something is missing or contradicts itself."""
    name = _name(header)
    for keyword, count in (("ImagePositionPatient", 3), ("ImageOrientationPatient", 6), ("PixelSpacing", 2)):
        found = header.get(keyword, ())
        if len(found) != count or not np.isfinite(found).all():
            raise NotApplicable(f"{name} has no usable {keyword}, so its place is unknown.")
    missing = [keyword for keyword in (*_SHORTS.values(), "pixels") if keyword not in header]
    if missing:
        raise NotApplicable("{} has no {}.".format(name, ", ".join(missing)))
    orientation = np.array(header["ImageOrientationPatient"])
    row, column = orientation[:3], orientation[3:]
    if max(abs(row @ row - 1), abs(column @ column - 1), abs(row @ column)) > 0.02 or min(header["PixelSpacing"]) <= 0:
        raise NotApplicable(f"{name} has an impossible ImageOrientationPatient or PixelSpacing.")
    if {"LOCALIZER", "MOSAIC"} & set(header.get("ImageType", "").split("\\")):
        raise NotApplicable(f"{name} is a localizer or a mosaic, not a slice.")
    if header["SamplesPerPixel"] != 1 or not header.get("PhotometricInterpretation", "").startswith("MONOCHROME"):
        raise NotApplicable(f"{name} is not a greyscale image.")
    if header.get("NumberOfFrames", (1.0,))[0] != 1:
        raise NotApplicable(f"{name} has several frames, which this reader does not know.")
    allocated, stored = header["BitsAllocated"], header["BitsStored"]
    if allocated not in (8, 16, 32) or not 1 <= stored <= allocated or header["HighBit"] != stored - 1:
        raise NotApplicable(
            f"{name} has BitsAllocated {allocated}, BitsStored {stored} and HighBit {header['HighBit']}: impossible."
        )
    size = header["Rows"] * header["Columns"] * allocated // 8
    if not size <= header["length"] <= size + 1 or os.path.getsize(header["path"]) < header["pixels"] + size:
        raise NotApplicable(f"{name} has {header['length']} bytes of pixel data, expected {size}.")
    header["length"] = size
    if header.get("Modality") == "MR":  # values 1 and 2 say who made the pixels, not what they are
        header["Contents"] = "\\".join(header.get("ImageType", "").split("\\")[2:])
    _check_scale(header, name)


def _check_scale(header: Mapping[str, Any], name: str) -> None:
    signed, stored = header["PixelRepresentation"], header["BitsStored"]
    padding = struct.unpack("<h" if signed else "<H", header.get("padding") or bytes(2))[0]
    if not (-(1 << stored - 1) if signed else 0) <= padding < 1 << (stored - 1 if signed else stored):
        raise NotApplicable(f"{name} has the PixelPaddingValue {padding}, which does not fit into its {stored} bits.")
    given = [keyword for keyword in ("RescaleSlope", "RescaleIntercept") if keyword in header]
    if len(given) == 1:
        raise NotApplicable(f"{name} has a {given[0]} alone: what its values mean is not certain.")
    if given and (header["RescaleSlope"][0] == 0 or len(header["RescaleSlope"] + header["RescaleIntercept"]) != 2):
        raise NotApplicable(f"{name} has a rescale that cannot be.")
    if not given and header.get("Modality") in ("CT", "PT"):
        raise NotApplicable(f"{name} has no rescale slope and intercept: its values mean nothing.")
    if (
        header.get("Modality") == "CT"
        and header.get("RescaleType", "HU").upper() not in ("HU", "US", "")
        and not header["RescaleType"].upper().startswith(("HOUN", "[HNSF"))
    ):
        raise NotApplicable("{} has the RescaleType {}: its values are not HU.".format(name, header["RescaleType"]))


def _elements(file: Any) -> Iterator[tuple[tuple[int, int], int, int, Callable[[], bytes]]]:
    """(tag, position of the value, its length, a function that reads it) of each element of the data set."""
    preamble = file.read(132)
    if preamble[128:] != b"DICM":
        raise ValueError("no preamble")
    syntax = ""
    while True:  # file meta information: always explicit, group 2
        position = file.tell()
        head = file.read(8)
        if len(head) < 8 or struct.unpack("<H", head[:2])[0] != 2:
            file.seek(position)
            break
        length = _explicit_length(file, head)
        value = file.read(length)
        if head[2:4] == b"\x10\x00":
            syntax = value.decode("ascii").strip(" \0")
    if syntax not in (_IMPLICIT, _EXPLICIT):
        raise NotApplicable(
            "The images are compressed or in another byte order (transfer syntax %s), which this reader does not know; "
            "read them with pydicom and its decoders." % (syntax or "not stated")
        )
    while True:
        head = file.read(8)
        if len(head) < 8:
            return
        tag = struct.unpack("<HH", head[:4])
        length = struct.unpack("<L", head[4:])[0] if syntax == _IMPLICIT else _explicit_length(file, head)
        if length == _UNDEFINED:
            if tag == _PIXELS:
                raise ValueError("pixel data of undefined length")
            _skip_items(file, syntax)
            continue
        position = file.tell()
        yield tag, position, length, partial(_exactly, file, length)
        file.seek(position + length)


def _exactly(file: Any, length: int) -> bytes:
    value: bytes = file.read(length)
    if len(value) != length:
        raise ValueError("the file is cut")
    return value


def _explicit_length(file: Any, head: bytes) -> int:
    if head[4:6] in _LONG:
        return int(struct.unpack("<L", _exactly(file, 4))[0])
    return int(struct.unpack("<H", head[6:8])[0])


def _skip_items(file: Any, syntax: str) -> None:
    """Go on behind a sequence of undefined length."""
    while True:
        _, element, length = struct.unpack("<HHL", _exactly(file, 8))
        if element == 0xE0DD:
            return
        if length != _UNDEFINED:
            file.seek(length, 1)
            continue
        while True:  # an item of undefined length: its elements up to the delimiter
            head = _exactly(file, 8)
            if head[:4] == b"\xfe\xff\x0d\xe0":
                break
            length = struct.unpack("<L", head[4:])[0] if syntax == _IMPLICIT else _explicit_length(file, head)
            if length == _UNDEFINED:
                _skip_items(file, syntax)
            else:
                file.seek(length, 1)

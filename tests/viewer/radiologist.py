"""What a radiologist does in OHIF, and what is then on the screen."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from node.reading import reader
from plugins.contract import Finding
from tests.support.programs.orthanc import Orthanc
from tests.support.programs.peers import dcmsend
from tests.viewer.browser import Browser, BrowserError
from tests.viewer.ohif import OHIF
from tests.viewer.studies import FORMS, Study

Points = NDArray[np.float64]
SEEN = (Path(__file__).with_name("seen.js")).read_text()
_CLICKS = 3
"""How often a radiologist clicks where nothing comes of it."""
PIXEL = 1.0
"""How far, in pixels of the image, a region may be drawn from its place; the screen shows one as about three."""


@dataclass(frozen=True)
class Drawn:
    """A region on the screen: its shapes in window pixels, and the lines of its label."""

    shapes: list[tuple[str, Points]]
    label: list[str]


@dataclass
class Radiologist:
    """One person before OHIF."""

    pacs: Orthanc
    ohif: OHIF
    browser: Browser
    folder: Path

    def sends(self, files: Sequence[Path], port: int, called: str) -> None:
        """As a modality does."""
        done = dcmsend(port, files, called=called, calling="CT1")
        assert done.returncode == 0, done.stderr

    def looks_up(self, patient_id: str) -> list[list[str]]:
        """What the study list has on a patient: the texts of each line, without its empty columns."""
        self.browser.go(self.ohif.study_list(patient_id))
        lines = (
            "[...document.querySelectorAll('tbody tr')].map(line => [...line.cells].map(cell => cell.innerText.trim()))"
        )
        self.browser.wait(f"{lines}.some(line => line.includes({patient_id!r}))", f"{patient_id} in the study list")
        self.browser.evaluate(SEEN)
        self.window()
        texts = [[text for text in line if text] for line in self.browser.evaluate(lines)]
        return [line for line in texts if line != ["Reset"]]  # the line of filters

    def patient(self) -> list[str]:
        """What the viewer's head says about the patient of the open study, one who is the same in all its series."""
        self.browser.click('text="Patient"')
        self.window()
        return self.panel()[:4]

    def opens(self, study: Study | str) -> None:
        """The study, which the archive gets first, in the viewer: its first image is there."""
        if isinstance(study, Study):
            self.sends(study.files, self.pacs.dicom_port, self.pacs.ae_title)
        uid = study.uid if isinstance(study, Study) else study
        self.browser.go(self.ohif.viewer(uid))
        self.browser.evaluate(SEEN)
        self.browser.wait("seen.drawn()", "the first image")
        self.window()  # what is clicked while OHIF still arranges its windows may be undone

    def opens_series(self, modality: str, description: str = "", number: int = 0) -> str:
        """A series of this modality (with these words in its description), from the list at the left.

        A click that OHIF loses is made again. Returns the expression that is true as long as the series is open.
        """
        label = f'[data-cy="series-modality-label"]:text-is("{modality}")'
        words = f':has-text("{description}")' if description else ""
        thumbnail = f'[data-cy^="study-browser-thumbnail"]:has({label}){words} >> nth={number}'
        is_open = f"seen.opened() === {json.dumps(self.browser.attribute(thumbnail, 'id'))}"
        for clicks_left in range(_CLICKS)[::-1]:
            self.browser.click(thumbnail, double=True)
            try:
                self.browser.wait(is_open, f"the {modality} to be opened", 30)
                break
            except BrowserError:
                if not clicks_left:
                    raise
        return is_open

    def series(self) -> list[tuple[str, str]]:
        """Modality and description of each series in the list."""
        return [tuple(each) for each in self.browser.evaluate("seen.series()")]

    def opens_report(self, study: Study) -> None:
        """The SR: the image of the regions, and the regions.

        Clicks again only where OHIF has undone the opening while it arranged its windows, however long it takes: a
        click beside its offer is a no to it, and OHIF offers the regions of a report once.
        """
        image = f'seen.drawn() && seen.image() === "{study.image.SOPInstanceUID}"'
        drawn = f"({image} && seen.regions().length > 0 && seen.read())"
        for _ in range(_CLICKS):
            is_open = self.opens_series("SR")
            self.browser.wait(f"{drawn} || !({is_open})", "the regions of the report")
            if self.browser.evaluate(drawn):
                break
        assert self.browser.evaluate(drawn), "OHIF closed the report again and again"
        self.browser.at_rest(self.folder)

    def regions(self) -> dict[str, Drawn]:
        """What is drawn, by tracking UID."""
        found: list[dict[str, Any]] = self.browser.evaluate("seen.regions()")
        return {
            each["uid"]: Drawn([(one["kind"], np.array(one["points"])) for one in each["shapes"]], each["lines"])
            for each in found
        }

    def in_the_image(self, study: Study, points: Points) -> Points:
        """Window pixels as (column, row) of the image."""
        return study.pixels(self.browser.evaluate(f"seen.inTheImage({points.tolist()})"))

    def window(self) -> Image.Image:
        """The window, as soon as it is at rest."""
        return self.browser.at_rest(self.folder)

    def takes_over(self) -> list[dict[str, Any]]:
        """Says yes to OHIF's offer to go on with the report's measurements, and returns what it then has."""
        self.browser.click('button:text-is("Yes")')
        self.browser.click('[data-cy="trackedMeasurements-btn"]')
        self.window()
        taken: list[dict[str, Any]] = self.browser.evaluate("seen.taken()")
        return taken

    def turns_to_page(self, uid: str, pages: int) -> None:
        """Pages of one size stand behind one another in OHIF; others have entries of their own in the list."""
        entries = [description for _, description in self.series() if description.endswith("pages")]
        for entry in range(len(entries)):
            self.opens_series("CT", "pages", entry)
            self.window()
            for _ in range(pages):
                if self.browser.evaluate("seen.drawn() && seen.image()") == uid:
                    return
                self.browser.key("ArrowDown")
                self.window()
        raise AssertionError(f"page {uid} is in none of {len(entries)} entries of the list")

    def opens_segmentation(self) -> None:
        """The SEG: it is loaded, and its panel opened."""
        self.opens_series("SEG")
        self.browser.click('button:text-is("Yes")')
        self.browser.click('[data-cy="panelSegmentation-btn"]')
        self.window()

    def panel(self) -> list[str]:
        """The lines of text in the window."""
        return [line.strip() for line in self.browser.evaluate("document.body.innerText").splitlines()]

    def can_read(self, text: str) -> bool:
        """Whether a text that is in the window is drawn, and not boxes in its place."""
        return bool(self.browser.evaluate(f"seen.boxes({json.dumps(text)}).length === 0"))

    def is_asked_to_take_over(self) -> bool:
        """Whether OHIF has offered that, from the opening of the study until now."""
        return bool(self.browser.evaluate("seen.offered"))

    # --- what has to be seen --------------------------------------------------------------------------

    def assert_sees_regions(self, study: Study) -> None:
        """Each region of the result is drawn, once, in its place, with its numbers and site as label."""
        drawn, uids = self.regions(), tracking_uids(study)
        names = [str(finding.tracking_id) for finding in study.result.findings]
        assert sorted(drawn) == sorted(uids[name] for name in names)
        for name, finding in zip(names, study.result.findings, strict=True):
            seen = drawn[uids[name]]
            assert seen.label == label_of(finding), name
            off = distance(FORMS[name], self.in_the_image(study, corners(seen.shapes)))
            assert off <= PIXEL, f"{name} is drawn {off:.1f} pixels from its place"

    def assert_sees_whole_page(self, page: Image.Image) -> None:
        """The page fills the canvas as far as its form allows, and nothing of it is cut off or covered."""
        different = self.differs_from(page)
        assert different < 0.02, f"{different:.0%} of the window is not what the page holds there"

    def differs_from(self, page: Image.Image) -> float:
        """The share of the area that shows something else than a page that stands there whole would."""
        left, top, width, height = self.browser.evaluate("seen.canvas()")
        scale = min(width / page.width, height / page.height)
        across, down = page.width * scale, page.height * scale
        corner = (left + (width - across) / 2, top + (height - down) / 2)
        window = self.window().crop((*map(round, corner), round(corner[0] + across), round(corner[1] + down)))
        size = (page.width // 8, page.height // 8)  # so that it does not matter how edges are smoothed
        seen, held = (np.asarray(each.resize(size, Image.Resampling.BOX), dtype=np.int16) for each in (window, page))
        return float((np.abs(seen - held).max(axis=2) > 30).mean())


def tracking_uids(study: Study) -> dict[str, str]:
    """By the name that the result gave: what a viewer calls the region."""
    report = reader.read_sr(study.report)
    return {one.tracking_identifier.rpartition(":")[2]: one.tracking_uid for one in report.findings}


def label_of(finding: Finding) -> list[str]:
    """OHIF's label: each number with its name (a length has none), then the site under its code."""
    numbers = [(m.concept.meaning, m.value or 0.0, m.unit.code) for m in finding.measurements]
    if finding.score is not None:
        numbers.append((finding.score.meaning, finding.score.value, finding.score.unit.code))
    lines = [f"{'' if name == 'Length' else name}: {value:.2f} {unit}" for name, value, unit in numbers]
    return [*lines, *([f"363698007: {finding.site.region.meaning}"] if finding.site else [])]


def corners(shapes: Sequence[tuple[str, Points]]) -> Points:
    """The points that say where a region lies: of an arrow its tip, of the rest all."""
    if len(shapes) == 3 and {kind for kind, _ in shapes} == {"line"}:
        tips = {tuple(points[1].round(3)) for _, points in shapes}
        assert len(tips) == 1, "three lines that are no arrow"
        return shapes[0][1][1:]
    assert len(shapes) == 1, [kind for kind, _ in shapes]
    return shapes[0][1]


def distance(expected: Points, seen: Points) -> float:
    """The greatest distance of any point of one from the nearest of the other (a box has four corners, not two)."""
    if len(expected) == 2 and len(seen) > 2:
        (left, top), (right, bottom) = expected
        expected = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    apart = np.linalg.norm(expected.reshape(-1, 1, 2) - seen.reshape(1, -1, 2), axis=2)
    return float(max(apart.min(axis=0).max(), apart.min(axis=1).max()))

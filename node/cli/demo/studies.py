"""The eight studies of the morning: phantoms, so that the truth of each is known, and what has to come of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from node.ledger.job import JobOutcome
from plugins import manifest
from plugins.phantoms import chest_series, head, water
from plugins.phantoms.chest import Chest
from plugins.phantoms.chest_radiograph import ChestRadiograph
from plugins.phantoms.chest_series import SeriesHeader
from plugins.phantoms.files import PhantomOrder
from plugins.phantoms.mammogram import BreastLesion, MammogramPhantom
from plugins.phantoms.nodules import NoduleChest

_RULES = """\
rules:
  - name: emphysema
    description: Emphysema figures from chest CT without contrast
    when: {Modality: CT, BodyPartExamined: CHEST, ContrastBolusAgent: {present: false}}
    choose: {where: {Modality: CT}, prefer: [{SliceThickness: smallest}], take: one}
    run: lung-density
    send: pacs
    mode: pilot
  - name: scanner-check
    description: Is the CT scanner as it should be this morning
    when: {Modality: CT, QualityControlImage: "YES"}
    choose: {where: {Modality: CT}, take: one}
    run: ct-qa
    send: pacs
    mode: pilot
  - name: breast-masses
    description: Masses that both views of a breast show
    when:
      all:
        - any_image: {laterality: right, view: cc}
        - any_image: {laterality: left, view: cc}
        - any_image: {laterality: right, view: mlo}
        - any_image: {laterality: left, view: mlo}
        - Modality: MG
    choose: {where: {Modality: MG}, take: all}
    run: mammography
    send: pacs
    mode: pilot
  - name: chest-x-ray
    description: Findings on a chest X-ray, by a plugin that crashes
    when: {Modality: DX, BodyPartExamined: CHEST}
    choose: {where: {Modality: DX}, take: one}
    run: falls-over
    send: pacs
    mode: pilot
"""
_FALLS_OVER = """\
schema = 1
outputs = ["findings"]

[identity]
name = "Falls over"
version = "1.0.0"
manufacturer = "pacsnode"
intended_use = "Crashes, to show what a reader sees then."

[runtime]
kind = "python"
entry = "falls_over:FallsOver"

[[concepts]]
value = "NOTHING"
scheme = "99EXAMPLE"
meaning = "Nothing"
"""
_ITS_CODE = """\
import os
import signal


class FallsOver:
    def analyse(self, study, parameters):
        os.kill(os.getpid(), signal.SIGKILL)
"""


def write_rules(folder: Path) -> str:
    """The sections of the configuration; writes the plugin that crashes into the folder."""
    crashing = folder / "falls_over"
    crashing.mkdir(parents=True, exist_ok=True)
    (crashing / manifest.MANIFEST).write_text(_FALLS_OVER)
    (crashing / "falls_over.py").write_text(_ITS_CODE)
    example = Path(manifest.__file__).parent / "examples" / "mammography"
    folders = {"mammography": {"folder": str(example)}, "falls-over": {"folder": str(crashing), "attempts": 1}}
    return f"plugins: {json.dumps(folders)}\n{_RULES}"  # JSON is YAML, also where a path has odd characters


@dataclass(frozen=True, slots=True)
class TrueNumber:
    """A number that the report in the PACS has to have."""

    concept: str
    """Code value."""
    side: str
    value: float
    tolerance: float


@dataclass(frozen=True, slots=True)
class DemoStudy:
    """One study of the morning."""

    name: str
    accession: str
    calling: str
    """AE title of its modality."""
    truth: str
    """For people."""
    write: Callable[[Path, DemoStudy], list[Path]]
    rule: str = ""
    """The one that has to match; empty where none may."""
    outcome: JobOutcome | None = None
    kinds: frozenset[str] = frozenset()
    """What the PACS has to get: sr, sc, seg, ko."""
    sentence: int = 0
    """Which one of the report's summary is the answer in short; -1 is the last."""
    words: str = ""
    """What the report has to say."""
    numbers: tuple[TrueNumber, ...] = ()
    present: tuple[tuple[str, str, bool], ...] = ()
    """Code value, side, whether it has to be present: of each such finding."""

    @property
    def order(self) -> PhantomOrder:
        """Patient and order of its own."""
        name = f"Phantom^{self.name.replace(' ', '')}{self.accession[-1]}"
        return PhantomOrder(name, f"DEMO-{self.accession}", accession_number=self.accession)


def _chest(**settings: object) -> Callable[[Path, DemoStudy], list[Path]]:
    phantom: dict[str, object] = {"size": 192, "slice_mm": 5.0, "noise_hu": 12.0, "vessels": True, **settings}
    agent = "Iohexol" if "blood_hu" in settings else ""

    def write(folder: Path, study: DemoStudy) -> list[Path]:
        order = study.order
        header = SeriesHeader(
            patient_name=order.patient_name,
            patient_id=order.patient_id,
            accession_number=order.accession_number,
            station_name=study.calling,
            contrast_agent=agent,
            study_description="CT chest",
        )
        return chest_series.write_series(Chest(**phantom), folder, header)  # type: ignore[arg-type] # of this file

    return write


def _head(folder: Path, study: DemoStudy) -> list[Path]:
    return head.write_ct(head.HeadPhantom(size=128, slice_mm=6.0), folder, study.order)


def _water(folder: Path, study: DemoStudy) -> list[Path]:
    order = PhantomOrder(f"QA^{study.calling}", f"QA-{study.calling}", "", "", study.accession)
    return water.write_series(water.WaterPhantom(drift_hu=7.0), folder, order)


def _mammogram(folder: Path, study: DemoStudy) -> list[Path]:
    mass = BreastLesion("L", "mass", (48.0, 20.0, 14.0), 18.0)
    return MammogramPhantom(lesions=(mass,), seed=3).write(folder, study.order)


def _radiograph(folder: Path, study: DemoStudy) -> list[Path]:
    chest = NoduleChest(size=180, slice_mm=2.0, nodules=(), vessels=False)
    return ChestRadiograph(chest).write(folder, study.order)


def _emphysema(right: float, left: float) -> tuple[TrueNumber, ...]:
    """Percent of each lung below -950 HU, give or take 1."""
    return TrueNumber("LAA950", "Right", right, 1.0), TrueNumber("LAA950", "Left", left, 1.0)


_MEASURED = frozenset({"sr", "sc", "seg", "ko"})
MORNING = (
    DemoStudy(
        "Chest CT",
        "A101",
        "CT1",
        "emphysema: right 18 %, left 6 %",
        _chest(size=320, slice_mm=2.5, emphysema=(0.18, 0.06)),
        rule="emphysema",
        outcome=JobOutcome.FINDINGS,
        kinds=_MEASURED,
        sentence=1,
        numbers=_emphysema(18.0, 6.0),
    ),
    DemoStudy(
        "Chest CT",
        "A102",
        "CT2",
        "emphysema: right 3 %, left 30 %",
        _chest(emphysema=(0.03, 0.30)),
        rule="emphysema",
        outcome=JobOutcome.FINDINGS,
        kinds=_MEASURED,
        sentence=1,
        numbers=_emphysema(3.0, 30.0),
    ),
    DemoStudy("Chest CT", "A103", "CT1", "contrast medium: density would mislead", _chest(blood_hu=250.0)),
    DemoStudy(
        "Chest CT",
        "A104",
        "CT2",
        "cut off: the lower half of the lungs is missing",
        _chest(extent=(-20.0, 135.0)),
        rule="emphysema",
        outcome=JobOutcome.NOT_APPLICABLE,
        kinds=frozenset({"sr"}),
        sentence=-1,
        words="The lungs are incomplete",
    ),
    DemoStudy("Head CT", "A105", "CT1", "nothing here is for a rule", _head),
    DemoStudy(
        "CT phantom",
        "A106",
        "CT2",
        "scanner has drifted: water is at 7 HU, not 0",
        _water,
        rule="scanner-check",
        outcome=JobOutcome.FINDINGS,
        kinds=frozenset({"sr", "sc", "ko"}),
        sentence=1,
        words="OUT OF LIMITS",
        numbers=(TrueNumber("CT_QA_WATER", "", 7.0, 1.0),),
    ),
    DemoStudy(
        "Mammogram",
        "A107",
        "MG1",
        "a mass of 18 mm, left; right breast without",
        _mammogram,
        rule="breast-masses",
        outcome=JobOutcome.FINDINGS,
        kinds=frozenset({"sr", "sc"}),
        present=(("BREAST_WITH_MASS", "Left", True), ("BREAST_WITH_MASS", "Right", False), ("4147007", "Left", True)),
    ),
    DemoStudy(
        "Chest X-ray",
        "A108",
        "DX1",
        "its plugin crashes: readers must know",
        _radiograph,
        rule="chest-x-ray",
        outcome=JobOutcome.FAILED,
        kinds=frozenset({"sr", "sc"}),
        words="failed",
    ),
)

"""What came of one study: by the ledger what was decided, by the PACS what arrived; and whether it had to be so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydicom import Dataset
from pydicom.uid import KeyObjectSelectionDocumentStorage, SegmentationStorage

from node.cli.demo import progress, report
from node.cli.demo.site import DemoError, DemoSite
from node.cli.demo.studies import DemoStudy
from node.ledger import decisions, events, jobs
from node.ledger.decisions import DecisionOutcome, StoredDecision
from node.ledger.job import Job, JobOutcome
from node.reading import reader
from node.reading.report import ReadFinding, ReadMeasurement, ReadReport

_KINDS = {SegmentationStorage: "seg", KeyObjectSelectionDocumentStorage: "ko"}
_WORDS = {"sr": "report", "sc": "page", "seg": "segmentation", "ko": "key image list"}
_SIDES = {"R": "Right", "L": "Left"}
_FIRST, _LAST = "study.first-received", ("study.decided", "job.reported", "delivery.delivered")


@dataclass(frozen=True, slots=True)
class SeenStudy:
    """A row of the table."""

    study: DemoStudy
    uid: str
    rules: str
    said: str
    got: str
    times: tuple[datetime, datetime]
    """When its first image came, and when the last thing happened that a reader waits for."""
    problems: tuple[str, ...]
    """What is not as the truth demands."""

    @property
    def seconds(self) -> str:
        """Between these."""
        return f"{(self.times[1] - self.times[0]).total_seconds():.0f}"


def span(found: Sequence[SeenStudy]) -> float:
    """Seconds from the first image of all to the last result."""
    return (max(each.times[1] for each in found) - min(each.times[0] for each in found)).total_seconds()


def look(study: DemoStudy, uid: str, sent: AbstractSet[str], site: DemoSite) -> SeenStudy:
    """Everything that is known of it."""
    rows = site.ledger.database
    taken = decisions.of_study(rows, uid)
    taken = [each for each in taken if each.revision == taken[-1].revision]
    held = site.pacs.held(uid)
    results = {path: header for path, header in held.items() if header.SOPInstanceUID not in sent}
    kinds = Counter(_kind(header) for header in results.values())
    read = next((reader.read_sr(path) for path, header in results.items() if _kind(header) == "sr"), None)
    problems = [*filter(None, [progress.problem(uid, rows)]), *judge(study, taken, kinds, read)]
    if missing := len(sent - {str(header.SOPInstanceUID) for header in held.values()}):
        problems.append(f"the PACS lacks {missing} of its images")
    done = jobs.of_study(rows, uid)
    outcome = done[-1].outcome if done else None
    if outcome is not study.outcome:
        problems.append(f"the job ended as {outcome or 'none'}, not as {study.outcome or 'none'}")
    if read is not None:
        problems += [*_unlike(done[-1], read, site), *_on_the_wrong_side(read, held.values())]
    history = events.of_study(rows, uid)
    ends = [event.at for event in history if event.kind in _LAST]
    start = next(event.at for event in history if event.kind == _FIRST)
    return SeenStudy(
        study, uid, in_words(taken), _said(study, outcome, read), _got(kinds), (start, max(ends)), tuple(problems)
    )


def judge(
    study: DemoStudy, taken: Sequence[StoredDecision], kinds: Mapping[str, int], read: ReadReport | None
) -> Iterator[str]:
    """What is not as the truth of the study demands, in words."""
    matched = [each.rule for each in taken if each.outcome is not DecisionOutcome.NOT_MATCHED]
    if set(matched) != ({study.rule} if study.rule else set()):
        yield f"rules that matched: {', '.join(matched) or 'none'}; expected {study.rule or 'none'}"
    if set(kinds) != study.kinds:
        yield f"the PACS got {_got(kinds)}; expected {_got(dict.fromkeys(sorted(study.kinds), 1))}"
    if read is None:
        return
    said = "\n".join(read.lines())
    if study.words.lower() not in said.lower():
        yield f"the report does not say {study.words!r}"
    for number in study.numbers:
        values = [value for code, side, value in _numbers(read) if (code, side) == (number.concept, number.side)]
        if len(values) != 1 or abs(values[0] - number.value) > number.tolerance:
            found = ", ".join(f"{value:g}" for value in values) or "nothing"
            yield f"{number.concept} {number.side}: the report says {found}; true is {number.value:g}".replace(
                " :", ":"
            )
    for code, side, present in study.present:
        answers = {
            each.present for each in read.findings if each.finding and (each.finding.value, _side(each)) == (code, side)
        }
        if answers != {present}:
            yield f"{code} {side}: has to be {'present' if present else 'absent'}, and is not"


def _unlike(job: Job, read: ReadReport, site: DemoSite) -> Iterator[str]:
    try:
        report.compare(job, read, site)
    except DemoError as error:
        yield str(error)


def _on_the_wrong_side(read: ReadReport, held: Iterable[Dataset]) -> Iterator[str]:
    """Marks on an image of the other side than the finding's."""
    sides = {str(each.SOPInstanceUID): _SIDES.get(str(each.get("ImageLaterality", ""))) for each in held}
    for finding in read.findings:
        for region in finding.regions:
            shown = sides.get(region.sop_instance_uid)
            if shown and _side(finding) and shown != _side(finding):
                yield f"{finding.tracking_identifier} is marked on an image of the {shown.lower()} side"


def _side(finding: ReadFinding, number: ReadMeasurement | None = None) -> str:
    site = (number.site if number else None) or finding.site
    return site.side if site else ""


def _numbers(read: ReadReport) -> Iterator[tuple[str, str, float]]:
    """Code value, side and value of each number of a report."""
    for finding in read.findings:
        for number in finding.measurements:
            if number.value is not None:
                yield number.concept.value, _side(finding, number), number.value


def _kind(header: Dataset) -> str:
    return "sr" if header.Modality == "SR" else _KINDS.get(header.SOPClassUID, "sc")


# --- in words -----------------------------------------------------------------------------------------


def in_words(taken: Sequence[StoredDecision]) -> str:
    """In the words of `explain`: what matched, or what came nearest, each with the last clause that decided it."""
    matched = [each.trace for each in taken if each.trace["matched"]]
    if matched:
        return "; ".join(f"{each['rule']} matched: {_because(each, holds=True)}" for each in matched)
    near = [each.trace for each in taken if each.trace["near_miss"]] or [each.trace for each in taken]
    return f"no rule; {near[0]['rule']} not matched: {_because(near[0], holds=False)}"


def _because(trace: Mapping[str, Any], *, holds: bool) -> str:
    clauses = [each for each in _clauses(trace["when"]) if each["passed"] is holds]
    return f"{clauses[-1]['clause']} – {clauses[-1]['why']}" if clauses else str(trace["why"])


def _clauses(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The clauses of a trace, in the order of the rule."""
    parts = node.get("parts", ())
    if not parts:
        yield node
    for part in parts:
        yield from _clauses(part)


def _said(study: DemoStudy, outcome: JobOutcome | None, read: ReadReport | None) -> str:
    if outcome is None or read is None:
        return "–"
    sentences = read.summary.rstrip(".").split(". ")
    answer = sentences[study.sentence if study.sentence < len(sentences) else 0]
    return f"not applicable: {answer}" if outcome is JobOutcome.NOT_APPLICABLE else answer


def _got(kinds: Mapping[str, int]) -> str:
    """`1 report, 3 pages`."""
    said = [f"{kinds[kind]} {word}{'s' if kinds[kind] > 1 else ''}" for kind, word in _WORDS.items() if kinds.get(kind)]
    return ", ".join(said) or "nothing"

"""Findings that are put together from the outputs of a program or model that knows nothing of reports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from plugins import codes
from plugins.coding import Code, Site
from plugins.measurements import Measurement, Score
from plugins.regions import Region
from plugins.result import SUMMARY_LIMIT, Finding

_SMALL_ML = 10.0
"""Below this a volume is shown with two decimals."""
_UNIT_WORDS = {"[hnsf'U]": " HU", "1": ""}
"""What readers know a unit by, where its code is no word of theirs."""
_NOTE = 256
_MOST_NAMED = 6


@dataclass
class FindingDraft:
    """A finding that is being put together."""

    name: str
    code: Code
    site: Site | None
    present: bool | None = None
    measurements: list[Measurement] = field(default_factory=list)
    score: Score | None = None
    segments: tuple[int, ...] = ()
    regions: tuple[Region, ...] = ()

    def add_volume(self, millilitres: float) -> None:
        """How large it is."""
        decimals = 2 if millilitres < _SMALL_ML else 1
        self.measurements.append(Measurement(codes.VOLUME, millilitres, codes.MILLILITER, decimals=decimals))

    def made(self) -> Finding:
        """The finding; ContractError."""
        return Finding(
            self.code,
            present=self.present,
            score=self.score,
            site=self.site,
            measurements=tuple(self.measurements),
            segments=self.segments,
            regions=self.regions,
        )


def draft_of(drafts: list[FindingDraft], code: Code, site: Site | None) -> FindingDraft:
    """The one finding of this code at this site; a new one where there is none, or several."""
    found = [draft for draft in drafts if (draft.code, draft.site) == (code, site)]
    if len(found) == 1:
        return found[0]
    drafts.append(FindingDraft(name_of(code, site), code, site))
    return drafts[-1]


def name_of(code: Code, site: Site | None) -> str:
    """What a finding is called: its meaning, and its side."""
    side = site.laterality if site else None
    return f"{code.meaning}, {side.meaning.lower()}" if side else code.meaning


def summary_of(drafts: Sequence[FindingDraft]) -> str:
    """What was found, one sentence each, as many as there is room for."""
    text = ""
    for index, sentence in enumerate(_sentences(drafts)):
        rest = f" And {len(drafts) - index} more."
        if len(text) + len(sentence) + len(rest) + 1 > SUMMARY_LIMIT:
            return text + rest
        text = f"{text} {sentence}".strip()
    return text


def _sentences(drafts: Sequence[FindingDraft]) -> Iterator[str]:
    for draft in drafts:
        said = {True: " found", False: " not found", None: ""}[draft.present]
        numbers = [f"{draft.score.name} {draft.score.value:.2f}"] if draft.score else []
        for each in draft.measurements:
            unit = _UNIT_WORDS.get(each.unit.code, f" {each.unit.code}")
            shown = "cannot be computed" if each.value is None else f"{each.value:.{each.decimals}f}{unit}"
            is_plain = each.concept == codes.VOLUME and each.value is not None
            numbers.append(shown if is_plain else f"{each.concept.meaning} {shown}")
        yield f"{draft.name}{said}{': ' if numbers else ''}{', '.join(numbers)}."


def nothing_found(silent: Sequence[str], left_out: Sequence[str] = ()) -> str:
    """The reason why there is no result, where nothing says anything; `left_out`: sentences on what is too small."""
    said = " ".join([f"The program found none of: {listed(silent)}. This does not say that there is none.", *left_out])
    return said if len(said) <= SUMMARY_LIMIT else f"{said[: SUMMARY_LIMIT - 1]}…"


def listed(names: Sequence[str] | set[str]) -> str:
    """`a, b, c and 4 more`, within the length of a note."""
    found = sorted(names) if isinstance(names, set) else list(names)
    shown = ", ".join(each[: _NOTE // (2 * _MOST_NAMED)] for each in found[:_MOST_NAMED])
    more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    return f"{shown}{more}"

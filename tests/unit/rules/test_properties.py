"""Whatever stands in a header, and whatever valid rule is held against it: deciding is total and logical."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from rules import conditions
from rules.conditions import StudyView
from rules.engine import decide
from rules.explain import lines
from rules.facts import Element, InstanceFacts, SeriesFacts, StudyFacts
from tests.unit.rules.building import make_rule

KEYWORDS = ("StudyDescription", "ImageType", "SliceThickness", "PixelSpacing", "StudyDate", "StudyTime", "PatientAge")
KEYWORDS = (*KEYWORDS, "PatientBirthDate", "ViewCodeSequence", "SeriesNumber", "CodeValue", "(0029,ACME,10)")  # type: ignore[assignment]
SURROGATES = st.text(st.characters(codec=None), max_size=6)
LIKELY = st.sampled_from(
    ["CT", "AXIAL", "1.5", "20240301", "20240230", "0830", "045Y", "19790101", "", " ", "a*", "nan"]
)
NUMBERS = st.one_of(st.integers(), st.floats(), st.sampled_from([1, 1.5, 2, 10**400]))
SCALARS = st.one_of(LIKELY, SURROGATES, NUMBERS)


def elements(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Element]:
    return st.builds(Element, st.just("UN"), st.lists(inner, max_size=3).map(tuple))


ITEMS = st.recursive(
    st.dictionaries(st.sampled_from(KEYWORDS), elements(SCALARS), max_size=3),
    lambda inner: st.dictionaries(st.sampled_from(KEYWORDS), elements(st.one_of(SCALARS, inner)), max_size=3),
    max_leaves=4,
)
HEADERS = st.dictionaries(st.sampled_from(KEYWORDS), elements(st.one_of(SCALARS, ITEMS)), max_size=6)
INSTANCES = st.builds(
    InstanceFacts,
    SURROGATES,
    SURROGATES,
    HEADERS,
    st.integers(-5, 10**9),
    SURROGATES,
    st.frozensets(st.sampled_from(["lossy", "truncated-pixel-data"])),
)
SERIES = st.builds(
    SeriesFacts, SURROGATES, st.sampled_from(["CT", "SR", "", "\udcff"]), st.lists(INSTANCES, max_size=4).map(tuple)
)
MOMENTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001 - bounds are naive
TITLES = st.frozensets(SURROGATES, max_size=2)
STUDIES = st.builds(
    StudyFacts,
    SURROGATES,
    st.integers(),
    st.lists(SERIES, max_size=4).map(tuple),
    st.sampled_from(["received", "retrieved"]),
    TITLES,
    TITLES,
    TITLES,
    MOMENTS,
    MOMENTS,
    MOMENTS,
)
MISSING = st.sampled_from([{}, {"missing": True}, {"missing": False}, {"missing": "error"}])
CLAUSES: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.sampled_from(
        [{"ViewCodeSequence": {"present": True}}, {"image_count": {"at_least": 2}}, {"Modality": ["CT", "SR"]}]
    ),
    st.builds(
        lambda clause, missing: {clause[0]: {**clause[1], **missing}},
        st.sampled_from(
            [
                ("StudyDescription", {"matches": "*a*"}),
                ("StudyDescription", {"regex": "(a|C)+T?$"}),
                ("ImageType", {"contains": ["AXIAL", "CT"]}),
                ("SliceThickness", {"at_most": 1.5}),
                ("PixelSpacing", {"in": [1, 1.5], "tolerance": 0.1}),
                ("StudyDate", {"after": "today - 2 years"}),
                ("StudyDate", {"between": ["StudyDate - 9999 years", "StudyDate + 1 month"]}),
                ("StudyTime", {"before": "12:00"}),
                ("patient_age", {"between": [18, "900 months"]}),
                ("ViewCodeSequence", {"code": "SCT:1"}),
                ("ViewCodeSequence.CodeValue", {"is": "CT"}),
                ("(0029,ACME,10)", {"above": 1}),
                ("calling_ae_title", {"is": "CT"}),
                ("series_count", {"is": 2}),
                ("marks", {"contains": "lossy"}),
            ]
        ),
        MISSING,
    ),
)
IMAGE_CLAUSES = CLAUSES.filter(lambda clause: "image_count" not in clause)


def combined(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(parts, min_size=1, max_size=3)
    return st.one_of(
        several.map(lambda found: {"all": found}),
        several.map(lambda found: {"any": found}),
        parts.map(lambda found: {"not": found}),
    )


IMAGE = st.recursive(IMAGE_CLAUSES, combined, max_leaves=3)
ON_IMAGES = st.one_of(
    st.builds(lambda quantity, part: {f"{quantity}_image": part}, st.sampled_from(["any", "every", "no"]), IMAGE),
    IMAGE.map(lambda part: {"count_images": {"where": part, "between": [1, 3]}}),
)
ON_SERIES = st.recursive(st.one_of(CLAUSES, ON_IMAGES), combined, max_leaves=4)
ON_STUDY = st.recursive(
    st.one_of(
        CLAUSES,
        ON_IMAGES,
        st.builds(
            lambda quantity, part: {f"{quantity}_series": part}, st.sampled_from(["any", "every", "no"]), ON_SERIES
        ),
        ON_SERIES.map(lambda part: {"count_series": {"where": part, "at_least": 1}}),
    ),
    combined,
    max_leaves=5,
)
PREFER = st.lists(
    st.sampled_from(
        [
            {"SliceThickness": "smallest"},
            {"SeriesNumber": "largest"},
            {"StudyDate": "newest"},
            {"StudyTime": "oldest"},
            {"image_count": "largest"},
            {"StudyDescription": ["CT", "a*"]},
            {"(0029,ACME,10)": "newest"},
        ]
    ),
    max_size=3,
)


_AT_ALL = {"ViewCodeSequence": {"present": True}}
_MOMENT = datetime(2000, 1, 1, tzinfo=UTC)
_UNDECODED = (
    InstanceFacts("", "", {}, 0, "", frozenset()),
    InstanceFacts("", "", {"ViewCodeSequence": Element("UN", ("\ud800",))}, 0, "", frozenset()),
)
_UNDECODABLE = StudyFacts(
    "",
    0,
    (SeriesFacts("\ud800", "\ud800", _UNDECODED),),
    "received",
    frozenset(),
    frozenset(),
    frozenset(),
    _MOMENT,
    _MOMENT,
    _MOMENT,
)


@settings(max_examples=300, deadline=None)
@given(ON_STUDY, ON_SERIES, IMAGE, PREFER, STUDIES)
@example(_AT_ALL, _AT_ALL, _AT_ALL, [], _UNDECODABLE)
def test_deciding_never_raises_and_its_trace_can_be_stored_and_read(
    when: Any, where: Any, only: Any, prefer: Any, study: StudyFacts
) -> None:
    """Any facts, any valid rule: a decision, a trace that is valid JSON in UTF-8, an explanation of printable text."""
    choose = {"where": where, "only_images": only, "prefer": prefer, "take": "all"}
    for rule in (make_rule(when, choose=choose), make_rule({"origin": ["received", "retrieved"]}, choose=choose)):
        (decision,) = decide([rule], study)
        stored = json.dumps(decision.trace, ensure_ascii=False, allow_nan=False).encode() if study else b""
        trace = json.loads(stored)
        assert trace["matched"] is decision.matched is bool(decision.runs)
        assert all(line.isprintable() for line in lines(trace))
        if decision.matched:
            assert trace["when"]["passed"] is True


@settings(max_examples=200, deadline=None)
@given(ON_STUDY, ON_STUDY, STUDIES)
def test_de_morgan_holds_on_the_study(one: Any, other: Any, study: StudyFacts) -> None:
    """not (a and b) = not a or not b, not not a = a, in three values."""
    assert verdict({"not": {"all": [one, other]}}, study) == verdict({"any": [{"not": one}, {"not": other}]}, study)
    assert verdict({"not": {"any": [one, other]}}, study) == verdict({"all": [{"not": one}, {"not": other}]}, study)
    assert verdict({"not": {"not": one}}, study) == verdict(one, study)


@settings(max_examples=200, deadline=None)
@given(ON_SERIES, ON_SERIES, STUDIES)
def test_de_morgan_and_the_quantifiers_hold_on_series(one: Any, other: Any, study: StudyFacts) -> None:
    """The same inside a series, image by image; `no` is not any, `every` is no series that is not."""
    left, right = {"not": {"all": [one, other]}}, {"any": [{"not": one}, {"not": other}]}
    for quantity in ("any_series", "every_series", "no_series"):
        assert verdict({quantity: left}, study) == verdict({quantity: right}, study)
    assert verdict({"no_series": one}, study) == verdict({"not": {"any_series": one}}, study)
    assert verdict({"every_series": one}, study) == verdict({"no_series": {"not": one}}, study)


@settings(max_examples=200, deadline=None)
@given(ON_STUDY, ON_SERIES, IMAGE, PREFER, STUDIES, st.randoms(use_true_random=False))
def test_the_order_of_arrival_changes_no_decision(
    when: Any, where: Any, only: Any, prefer: Any, study: StudyFacts, random: Any
) -> None:
    """The same instances and series in another order: the same runs."""
    uids = [series.series_instance_uid for series in study.series]
    if len(set(uids)) < len(uids):
        return
    shuffled = []
    for series in random.sample(study.series, len(study.series)):
        instances = tuple(random.sample(series.instances, len(series.instances)))
        shuffled.append(SeriesFacts(series.series_instance_uid, series.modality, instances))
    other = StudyFacts(
        **{**{name: getattr(study, name) for name in study.__dataclass_fields__}, "series": tuple(shuffled)}
    )
    rule = make_rule(when, choose={"where": where, "only_images": only, "prefer": prefer})
    assert decide([rule], study)[0].runs == decide([rule], other)[0].runs


def verdict(when: Any, study: StudyFacts) -> bool | None:
    return conditions.study(make_rule(when).condition, StudyView(study))

"""What the modules of an image say of it, valid or broken, never costs a result."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.config.encoding import EncodingProfile
from plugins.contract import Result
from tests.support.images.broken_sources import FORMS, image_attributes, write
from tests.support.images.kinds import IMAGES
from tests.support.results import reports

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

_SIZE = frozenset({"Rows", "Columns", "NumberOfFrames"})
"""Which mask lies on which frame: a result that refers to frames of another size was not made of these images."""


def described(kind: str) -> list[str]:
    """All attributes of a kind's own modules but for its size."""
    return sorted(image_attributes(IMAGES[kind](1).SOPClassUID).keys() - _SIZE)


def made(folder: Path, kind: str, forms: Mapping[str, str], result: Result, *kinds: Any) -> set[str]:
    """The kinds of the objects of one image; the gate has judged them, none is missing, and no text is replaced."""
    paths = [write(IMAGES[kind](1), forms, folder / "image.dcm")]
    request = reports.request(paths, result, profile=EncodingProfile(kinds=frozenset(kinds)))
    objects = reports.whole(request, folder / "out")
    assert not [one.kind for one in objects if "\ufffd".encode() in one.path.read_bytes()]
    return {one.kind for one in objects}


def one_mask(kind: str) -> Result:
    """A segmentation of the first frame."""
    return reports.segmented(reports.frames(kind)[:1])


@pytest.mark.parametrize("kind", IMAGES)
def test_finding_s2_no_attribute_of_an_image_costs_its_report_and_mask(
    tmp_path: Path, kind: str, *, full_length: bool
) -> None:
    """All attributes of a kind's own modules, each in another broken form: report and mask leave."""
    names, first = described(kind), sorted(IMAGES).index(kind)
    for turn in range(len(FORMS)) if full_length else (first,):
        forms = {keyword: FORMS[(number + turn) % len(FORMS)] for number, keyword in enumerate(names)}
        assert made(tmp_path / str(turn), kind, forms, one_mask(kind), "sr", "seg") == {"sr", "seg"}


@pytest.mark.parametrize("form", FORMS)
def test_finding_s2_images_that_cannot_be_shown_do_not_cost_a_report(
    tmp_path: Path, form: str, *, full_length: bool
) -> None:
    """Size, bits, pixels and all else of an image in one broken form: report and page leave, without the picture."""
    kinds = sorted(IMAGES)
    for kind in kinds if full_length else (kinds[FORMS.index(form) % len(kinds)],):
        forms = dict.fromkeys((*described(kind), *_SIZE & image_attributes(IMAGES[kind](1).SOPClassUID).keys()), form)
        wanted = ("sr", "sc") if full_length else ("sr",)
        assert made(tmp_path / kind, kind, forms, reports.measured(), *wanted) == set(wanted)


@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), kind=st.sampled_from(sorted(IMAGES)))
def test_finding_s2_any_mixture_of_broken_images(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, kind: str
) -> None:
    """Whatever an image says of itself wrongly, together with all else that is right: a valid set leaves."""
    few = st.dictionaries(st.sampled_from(described(kind)), st.sampled_from(FORMS), min_size=1, max_size=12)
    folder = tmp_path_factory.mktemp("mixture")
    assert made(folder, kind, data.draw(few), one_mask(kind), "sr", "seg", "pr", "pm") >= {"sr", "seg"}

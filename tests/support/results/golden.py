"""Pages that a person has looked at: `python -m tests.support.results.golden` writes them; look before committing."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from node.config.encoding import EncodingProfile, Language
from node.results.context import prepare
from node.results.pages.sc import page_makers
from tests.support.results import reports

FOLDER = Path(__file__).parents[2] / "unit" / "results" / "golden"
PAGES: dict[str, tuple[str, str, Language, int]] = {
    "finding-en": ("nodule", "ct", "en", 0),
    "several-en": ("regions", "ct", "en", 0),
    "mammogram-ko": ("nodule", "mg", "ko", 0),
    "measured-ko": ("measured", "ct", "ko", 0),
    "picture-en": ("illustrated", "ct", "en", 1),
    "failed-ko": ("failed", "ct", "ko", 0),
    "not-applicable-en": ("not-applicable", "ct", "en", 0),
    "heat-map-en": ("mapped", "ct", "en", 2),
}
"""File name → result, kind of image, language, index of the page."""


def drawn(name: str) -> NDArray[np.uint8]:
    """One of the pages as it is drawn now."""
    result, kind, language, index = PAGES[name]
    with tempfile.TemporaryDirectory() as folder:
        paths = reports.write_series(kind, Path(folder))
        profile = EncodingProfile(language=language)
        request = reports.request(paths, reports.RESULTS[result](reports.reference(kind)), profile=profile)
        _, _, make = page_makers(prepare(request))[index]
        page = make()
        return np.frombuffer(page.PixelData, np.uint8).reshape(page.Rows, page.Columns, 3)


def kept(name: str) -> NDArray[np.uint8]:
    """The same page as it was when a person looked at it."""
    return np.asarray(Image.open(FOLDER / f"{name}.png"))


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for each in PAGES:
        Image.fromarray(drawn(each)).save(FOLDER / f"{each}.png", optimize=True)

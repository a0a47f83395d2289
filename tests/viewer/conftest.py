"""OHIF before an Orthanc, in a browser: one of each for all tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.programs.orthanc import Orthanc
from tests.support.programs.peers import require_peer
from tests.viewer.browser import Browser
from tests.viewer.ohif import OHIF

if TYPE_CHECKING:
    from tests.viewer.radiologist import Radiologist

pytest.register_assert_rewrite("tests.viewer.radiologist")


@pytest.fixture(scope="session")
def radiologist(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Radiologist]:
    """A person before OHIF, which shows what an archive of its own holds."""
    from tests.viewer.radiologist import Radiologist  # not before its asserts are to be explained

    require_peer("ohif")
    folder = tmp_path_factory.mktemp("viewer")
    with (
        Orthanc(folder / "pacs", modalities={"PACSNODE": 11112}, dicomweb=True) as pacs,
        OHIF(pacs.url) as ohif,
        Browser(folder / "browser") as browser,
    ):
        yield Radiologist(pacs, ohif, browser, folder)

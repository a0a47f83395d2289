"""Data folders that earlier releases left, and the stages of today over one of them.

Each zip in `unit/serve/upgrade` was made by the program at the commit of its name, out of the same seven events: study
1.2.3.1 was reported and waits to be sent, 1.2.3.2 has a result that is not encoded, 1.2.3.3 has a job that waits,
1.2.3.4 is complete and undecided, 1.2.3.5 is being received, 1.2.3.6 waits to be indexed, with a second 1.2.3.1.1.1 of
other pixels; and one object was cut off half-way. From 2f7d039 on the rule has a step that comes after the first; the
newest also has a request for storage commitment in its journal.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

from node.index.children import HeaderReader
from tests.support.sites.whole_site import WholeSite

FOLDER = Path(__file__).parents[2] / "unit" / "serve" / "upgrade"
RELEASES = ("252a44c", "2f7d039", "c6c8570")
STUDIES = tuple(f"1.2.3.{number}" for number in range(1, 7))
_AFTER = {"when_result": {"has": "99TEST:1"}}


def unpack(release: str, folder: Path) -> Path:
    """The data folder as that release left it, in `folder`."""
    data = folder / "data"
    with zipfile.ZipFile(FOLDER / f"{release}.zip") as kept:
        kept.extractall(data)
    return data


class UpgradedSite(WholeSite):
    """Today's stages on the data folder of an earlier release."""

    def __init__(self, release: str, folder: Path, reader: HeaderReader) -> None:
        unpack(release, folder)
        super().__init__(folder, reader, rule_of(release))


def rule_of(release: str) -> dict[str, object]:
    """The rule by which that release decided."""
    steps = [{"plugin": "quiet"}, {"plugin": "second", "after": "quiet", **_AFTER}]
    return {
        "name": "all-ct",
        "description": "Is the chest quiet?",
        "when": {"Modality": "CT"},
        "choose": {"where": {"Modality": "CT"}},
        "run": "quiet" if release == RELEASES[0] else steps,
        "send": ["pacs"],
        "mode": "pilot",
    }

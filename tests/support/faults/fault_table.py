"""The table of docs/reliability.md, made from the tests: `python -m tests.support.faults.fault_table` writes it anew.

A test names its cases: `test_fault_18_reset_mid_object`, `test_faults_25_26_…`. The first line of its docstring is what
the page says it shows, so the page cannot claim what is not run.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.support.faults import crash_table
from tests.support.shared_data import ROOT

PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- made by tests/support/faults/fault_table.py -->", "<!-- end -->"
_NUMBERS = re.compile(r"test_faults?_((?:\d+[bc]?_)+)")

CASES: dict[str, dict[str, str]] = {
    "Network": {
        "1": "silent TCP connection",
        "2": "part of a PDU header, then nothing",
        "3": "part of a P-DATA-TF PDU, then nothing",
        "4": "one byte a second",
        "5": "silent client on the TLS port",
        "6": "bytes of another protocol (SSH, HTTP)",
        "7": "PDU length of 4 GiB",
        "8": "giant A-ASSOCIATE-RQ",
        "9": "PDU over the announced maximum",
        "10": "PDV length 0, 1 or past the end",
        "11": "unknown command field, garbage command set",
        "12": "presentation context that was not accepted",
        "13": "second A-ASSOCIATE-RQ",
        "14": "data set before its command",
        "15": "peer that takes PDUs of 1 to 7 bytes",
        "16": "pipelined C-STORE requests",
        "17": "flood of connections",
        "18": "connection reset within an object",
        "19": "release in the middle of something",
        "20": "idle association",
        "21": "ten thousand associations that are aborted",
        "80": "oddities in the A-ASSOCIATE-AC that we get",
        "81": "PDU of 4 GiB, or in drops, as answer to our request",
        "82": "ten thousand association requests",
    },
    "Access": {
        "22": "wrong called AE title",
        "23": "unknown calling AE title",
        "24": "known AE title from another address",
        "25": "no, an expired or a foreign certificate",
        "26": "TLS 1.0 and 1.1",
        "27": "control characters in an AE title",
        "28": "shell metacharacters in AE title or UID",
    },
    "Data": {
        "29": "SOP Instance UID that is none, or a path",
        "30": "UIDs of command and data set differ",
        "31": "Study, Series or SOP UID missing",
        "32": "identical duplicate",
        "33": "same UID, other pixels",
        "33b": "same pixels, corrected patient or order",
        "34": "same UID in two series",
        "35": "two patients in one study",
        "36": "missing Patient ID",
        "37": "attribute of Type 1 missing for a result",
        "38": "character sets: Korean, Japanese, mislabelled, absent",
        "39": "truncated pixels, giant element length",
        "40": "overflowing Rows × Columns, wrong VR",
        "41": "lying number of frames or palette",
        "42": "deflate bomb",
        "43": "hundreds of nested sequences",
        "44": "corrupt file that kills its reader",
        "45": "executable preamble",
        "46": "burned-in or private identifiers",
        "47": "objects without pixels",
        "47b": "rejection notes (IHE IOCM)",
        "48": "multi-frame object over 1 GB",
        "49": "late images",
        "50": "our own results coming back",
    },
    "Storage and process": {
        "51": "disk full before the association",
        "52": "disk full within an object",
        "53": "read-only file system, input/output errors",
        "54": "ledger locked or damaged",
        "55": "kill -9 at any point",
        "56": "power loss",
        "57": "clock jumps by an hour",
        "58": "SIGTERM",
        "59": "two nodes on one data folder",
        "60": "disk of the log full",
    },
    "The PACS's side": {
        "61": "down for hours",
        "62": "accepts, then stops reading",
        "63": "refuses a SOP class",
        "64": "stores with a warning",
        "65": "out of resources",
        "66": "refuses for good, or for reasons of its own",
        "67": "rejects our AE title",
        "68": "answer lost",
        "69": "one destination down",
        "70": "storage commitment partial or never",
        "70b": "has the study under another patient or order",
        "70c": "does not have the study yet",
    },
    "Plugin and configuration": {
        "71": "exception, hang, crash, memory, fork bomb, endless output",
        "72": "study on which a plugin always fails",
        "73": "result that names another patient or study",
        "74": "plugin that writes elsewhere or uses the network",
        "75": "hostile YAML",
        "76": "bad configuration at reload",
        "77": "regular expression that blows up",
        "103": "settings of the kernel and devices, as root",
        "104": "weights or code replaced without notice",
        "105": "result whole, process hanging",
        "110": "NIfTI files and tables that lie",
    },
}


@dataclass(frozen=True, slots=True)
class FaultTest:
    """One test of a case."""

    path: Path
    """Relative to the root of the repository."""
    name: str
    claim: str
    cases: tuple[str, ...]


@cache
def fault_tests() -> tuple[FaultTest, ...]:
    """Every test with the number of a case in its name."""
    return tuple(found for path in sorted((ROOT / "tests").rglob("test_*.py")) for found in _in(path))


def _in(path: Path) -> Iterator[FaultTest]:
    for statement in ast.walk(ast.parse(path.read_text())):
        match = _NUMBERS.match(statement.name) if isinstance(statement, ast.FunctionDef) else None
        if match is None or not isinstance(statement, ast.FunctionDef):
            continue
        cases = tuple(number.lstrip("0") for number in match[1].strip("_").split("_"))
        claim = (ast.get_docstring(statement) or "").split("\n\n")[0].replace("\n", " ")
        yield FaultTest(path.relative_to(ROOT), statement.name, claim, cases)


def table() -> str:
    """The generated part of the page."""
    tests = fault_tests()
    parts = []
    for title, cases in CASES.items():
        parts += [f"### {title}", "", "| | case | what the tests show |", "|---|---|---|"]
        for number, case in cases.items():
            shown = [f"{test.claim} ([{test.path.stem}](../{test.path}))" for test in tests if number in test.cases]
            parts.append(f"| {number} | {case} | {'<br>'.join(_cell(one) for one in shown) or '**no test yet**'} |")
        parts.append("")
    return "\n".join([*parts, *_crashes()])


def _crashes() -> Iterator[str]:
    """What `make crash` came to when it last ran."""
    yield from ("### The crash matrix", "", *crash_table.lines(json.loads(crash_table.SUMS.read_text())), "")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def page_with(generated: str) -> str:
    """The page with its generated part replaced."""
    before, rest = PAGE.read_text().split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{generated}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page_with(table()))

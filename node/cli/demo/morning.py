"""A morning of eight studies, and one table of what came of them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydicom import dcmread
from rich.console import Console
from rich.table import Table
from rich.text import Text

from node.cli.demo import progress, report, seen, studies
from node.cli.demo.console import leave_open
from node.cli.demo.interruption import Interruption
from node.cli.demo.seen import SeenStudy
from node.cli.demo.sending import counted
from node.cli.demo.site import DemoFolder, running
from node.cli.demo.studies import DemoStudy
from node.cli.output import cell
from node.ledger import jobs

_COLUMNS = {"Study": 11, "Truth": 16, "Rules decided, and why": 23, "The AI said": 21, "The PACS got": 15}
"""Of 100 columns; on wider terminals each gets its share of what there is more."""

Files = Mapping[DemoStudy, Sequence[Path]]


def show(folder: DemoFolder, interruption: Interruption, console: Console) -> int:
    """Send the studies, wait, and tell; 1 where a row is not as its truth demands."""
    files = _made(folder, console)
    total = sum(map(len, files.values()))
    uids = {study: _uids(paths) for study, paths in files.items()}
    console.print("Starting the node and a small PACS …")
    with running(folder, studies.write_rules(folder.path), "2s", interruption) as site:
        console.print(f"Sending {len(files)} studies ({total} images) to the PACS and to the node, by C-STORE …")
        sending = (step for study, paths in files.items() for step in site.send(paths, study.calling))
        for _ in counted(sending, 2 * total, "C-STORE", console):
            pass
        progress.wait(dict(uids.values()), site, console)
        found = [seen.look(study, *uids[study], site) for study in files]
        wrong = [f"{_named(each.study)}: {problem}" for each in found for problem in each.problems]
        _tell(found, console)
        done = jobs.of_study(site.ledger.database, found[0].uid)
        if done and not found[0].problems:
            console.print(f"\nOne of them in full, {_named(found[0].study)}:")
            report.show(done[-1], site, console)
        for problem in wrong:
            console.print(cell(f"WRONG  {problem}", "bold red"))
        config = folder.shown(folder.config)
        console.print(f"\nEvery clause of a decision: pacsnode explain {found[0].study.accession} --config {config}")
        if folder.has_console:
            leave_open(site, console)
    return 1 if wrong else 0


def _made(folder: DemoFolder, console: Console) -> Files:
    """The files of each study; what is made is kept for the next run, and what was left half-made is made again."""
    made: dict[DemoStudy, Sequence[Path]] = {}
    for study in studies.MORNING:
        target = folder.path / "phantoms" / study.accession
        whole = target.with_suffix(".whole")
        if not whole.exists():
            if not made:
                console.print("Making eight studies of phantoms, once: what is true of each is known …")
            shutil.rmtree(target, ignore_errors=True)
            study.write(target, study)
            whole.touch()
        made[study] = sorted(target.iterdir())
    return made


def _uids(paths: Sequence[Path]) -> tuple[str, frozenset[str]]:
    """Study Instance UID, and the SOP Instance UIDs."""
    headers = [dcmread(path, stop_before_pixels=True) for path in paths]
    return str(headers[0].StudyInstanceUID), frozenset(str(each.SOPInstanceUID) for each in headers)


def _named(study: DemoStudy) -> str:
    return f"{study.name} {study.accession}"


def _tell(found: Sequence[SeenStudy], console: Console) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 1, 0), expand=True)
    for name, share in _COLUMNS.items():
        table.add_column(name, ratio=share, overflow="fold")
    table.add_column("s", justify="right", width=4)
    table.add_column("", width=5)
    for each in found:
        mark = Text("WRONG", "bold red") if each.problems else Text("ok", "green")
        texts = (_named(each.study), each.study.truth, each.rules, each.said, each.got, each.seconds)
        table.add_row(*map(cell, texts), mark)
    console.print()
    console.print(table)
    right, seconds = sum(not each.problems for each in found), seen.span(found)
    console.print(f"{right} of {len(found)} are as their truth demands. First image to last result: {seconds:.0f} s.")

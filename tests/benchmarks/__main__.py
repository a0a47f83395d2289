"""`make bench`: measures, and writes docs/performance.md. `make bench SHORT=1`: everything once, on little; no page.

No number is asserted: machines differ, and only ratios of one run say something.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks import (
    attacks,
    backlog,
    beside_backup,
    beside_consoles,
    beside_greedy,
    encoding,
    laying_out,
    models,
    page,
    purging,
    receive,
    receivers,
    retries,
    rules,
    samples,
    searching,
    size,
    start,
    turnaround,
    warm,
)
from tests.benchmarks.receive import Figures, Scenario
from tests.benchmarks.turnaround import Turn

_OURS = (receivers.FSYNC, receivers.OS)


def scenarios(short: bool) -> list[tuple[Scenario, int]]:
    """What is received, and in how many counted rounds."""
    everyone = (*_OURS, receivers.DCMTK, receivers.ORTHANC, receivers.PYNETDICOM)
    native = (*_OURS, receivers.DCMTK)
    nagle = (*_OURS, receivers.ORTHANC_AS_PACKAGED)
    if short:
        return [
            (Scenario("CT, one association", samples.CT, 20, 1, (*everyone, receivers.DISK)), 1),
            (Scenario("CT, sender with Nagle", samples.CT, 10, 1, nagle, nodelay=False), 1),
        ]
    grown = [receivers.grown(10**3), receivers.grown(10**5), receivers.grown(10**6)]
    return [
        (Scenario("CT, one association", samples.CT, 300, 1, (*everyone, receivers.DISK)), 8),
        (Scenario("CT, four associations", samples.CT, 100, 4, (*everyone, receivers.TWO)), 3),
        (Scenario("CT, a burst longer than the slots last", samples.CT, 1000, 1, native), 2),
        (Scenario("CT, sender with Nagle", samples.CT, 100, 1, nagle, nodelay=False), 2),
        (Scenario("CT, PDUs of 16 K", samples.CT, 200, 1, native, pdu=16384), 2),
        (Scenario("MR, one association", samples.MR, 500, 1, everyone), 2),
        (Scenario("DX, one association", samples.DX, 10, 1, everyone), 2),
        (Scenario("Growth: CT, one association", samples.CT, 200, 1, grown), 3),
    ]


def _grown_turnaround(folder: Path) -> dict[int, list[Turn]]:
    """Turnaround by the number of instances in the ledger."""
    found = {}
    for instances in (10**3, 10**6):
        found[instances] = turnaround.measure(10, 30, folder / str(instances), instances)
        print(f"{instances:,} instances\n\n{turnaround.show(found[instances])}", flush=True)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure everything, print it, and unless it is the short form write the page."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--page", type=Path, help="write the page here, also from a short run")
    parser.add_argument("--remark", default="", help="what was special about this run, for the page")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="pacsnode-bench-") as scratch:
        folder = Path(scratch)
        print(start.show(start.measure(folder / "start")), flush=True)
        measured: list[tuple[Scenario, dict[str, Figures]]] = []
        for number, (scenario, rounds) in enumerate(scenarios(options.short)):
            found = receive.measure(scenario, rounds, folder / f"receive-{number}")
            measured.append((scenario, found))
            print(receive.show(scenario, found), flush=True)
        studies, slices = (1, 30) if options.short else (10, 300)
        turns = turnaround.measure(studies, slices, folder / "turnaround")
        print(turnaround.show(turns), flush=True)
        grown = {} if options.short else _grown_turnaround(folder / "grown")
        encoded = encoding.measure(folder / "encoding", *((1, 30) if options.short else (5, 300)))
        print(encoding.show(encoded), flush=True)
        sized = size.measure(folder / "size")
        print(size.show(sized), flush=True)
        handed = laying_out.measure(folder / "handed", rounds=3 if options.short else 10)
        print(laying_out.show(handed), flush=True)
        kept = warm.measure(folder / "warm", 50 if options.short else warm.JOBS)
        print(warm.show(kept), flush=True)
        modelled = models.measure(folder / "models", models.SHORT_JOBS if options.short else models.JOBS)
        print(models.show(modelled), flush=True)
        decided = rules.measure(folder / "rules", 100 if options.short else rules.REPLAYED)
        print(rules.show(decided), flush=True)
        retried = retries.measure(300 if options.short else retries.IMAGES, folder / "retries")
        print(retries.show(retried), flush=True)
        searched = searching.measure(folder / "searched", 2_000 if options.short else searching.STUDIES)
        print(searching.show(searched), flush=True)
        purged = purging.measure(100 if options.short else purging.STUDIES, folder / "purging")
        print(purging.show(purged), flush=True)
        waiting = backlog.measure(folder / "backlog", *((10_000, 1) if options.short else ()))
        print(backlog.show(waiting), flush=True)
        backed_up = beside_backup.measure(100 if options.short else beside_backup.IMAGES, folder / "backup")
        print(beside_backup.show(backed_up), flush=True)
        watched = beside_consoles.measure(*((50, 1) if options.short else (300, 4)), folder / "consoles")
        print(beside_consoles.show(watched), flush=True)
        beside = beside_greedy.measure(folder / "greedy")
        print(beside_greedy.show(beside), flush=True)
        attacked = attacks.measure(folder / "attacks", short=options.short)
        print(attacks.show(attacked), flush=True)
    written = options.page or (None if options.short else page.PATH)
    if written:
        all_of_it = page.Measured(
            measured,
            turns,
            slices,
            grown,
            encoded,
            sized,
            decided,
            retried,
            attacked,
            handed,
            beside,
            kept,
            searched,
            purged,
            waiting,
            modelled,
        )
        written.write_text(page.text(all_of_it, options.remark))


if __name__ == "__main__":  # `encoding` spawns children, which import the main module again
    main()

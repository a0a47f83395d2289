"""Which jobs start, and where: what waits, the machines and what runs on them → what starts, and why the rest waits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.run.slots import BusySlot, Gpu, IdleModel, Machine, Placement, WaitingJob, place, why_full
from plugins.resources import Resources

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
GIB = 2**30


def job(name: str, minutes: float = 0.0, **more: Any) -> WaitingJob:
    """A job that came so many minutes ago; its plugin has its name without digits."""
    resources = more.pop("needs", Resources(memory=GIB))
    plugin, at_once = more.pop("plugin", name.rstrip("0123456789")), more.pop("at_once", 9)
    return WaitingJob(name, plugin, at_once, NOW - timedelta(minutes=minutes), resources, **more)


def machine(slots: int = 9, gib: int = 16, cpus: float = 8, *gpus: Gpu, **more: Any) -> Machine:
    return Machine("local", slots, cpus, gib * GIB, gpus, **more)


def busy(plugin: str = "other", gib: float = 1, **more: Any) -> BusySlot:
    needs = more.pop("needs", Resources(memory=int(gib * GIB)))
    return BusySlot(plugin, "local", needs, **more)


def names(*arguments: Any, **more: Any) -> str:
    """The jobs that start, in order."""
    return " ".join(each.job for each in place(*arguments, now=NOW, **more).started)


def gib(memory: float, **more: Any) -> Resources:
    return Resources(memory=int(memory * GIB), **more)


ORDER = {
    "by arrival": ([job("a", 2), job("b", 3), job("c", 1)], "b a c"),
    "the same moment": ([job("b"), job("a"), job("c")], "b a c"),
    "urgent first, however old others are": ([job("a", 600), job("u", urgent=True)], "u a"),
    "urgent by arrival": ([job("u", 1, urgent=True), job("v", 2, urgent=True, high=True)], "v u"),
    "high before routine": ([job("a", 29), job("h", high=True)], "h a"),
    "a routine job that waited for longer than half an hour before high": ([job("h", high=True), job("a", 31)], "a h"),
}


@pytest.mark.parametrize("case", ORDER)
def test_whose_turn_it_is(case: str) -> None:
    """Urgent, then what is due first; high priority is half an hour earlier, and no more."""
    waiting, started = ORDER[case]
    assert names(waiting, [machine()], []) == started
    assert names(waiting, [machine(slots=1)], []) == started.split()[0]


ROOM = {
    "slots": ([job("a"), job("b")], machine(2), [busy()], "a"),
    "at_once": ([job("a1", at_once=1), job("a2", at_once=1), job("b")], machine(), [], "a1 b"),
    "at_once, one runs": ([job("a", at_once=1)], machine(), [busy("a")], ""),
    "memory": ([job("a", needs=gib(8)), job("b", needs=gib(8)), job("c")], machine(gib=16), [busy(gib=1)], "a c"),
    "processors": ([job("a", needs=gib(1, cpus=6)), job("b", needs=gib(1, cpus=3)), job("c")], machine(), [], "a c"),
    "tenths of processors": ([job(f"a{n}", needs=Resources(cpus=0.1)) for n in range(9)], machine(cpus=0.9), [], 9),
    "more than there is runs alone": ([job("a", needs=gib(99, cpus=99)), job("b")], machine(), [], "a"),
    "more than there is waits for all": ([job("a", needs=gib(99))], machine(), [busy()], ""),
    "a small one goes by": ([job("a", 9, needs=gib(12)), job("b")], machine(), [busy(gib=8)], "b"),
    "not by one that waited": ([job("a", 10, needs=gib(12)), job("b")], machine(), [busy(gib=8)], ""),
    "not by an urgent one": ([job("a", needs=gib(12), urgent=True), job("b")], machine(), [busy(gib=8)], ""),
    "what does not fit beside both": (
        [job("a", 10, needs=gib(12)), job("b", needs=gib(0.5))],
        machine(gib=21),
        [busy(gib=10)],
        "",
    ),
    "beside it": ([job("a", 10, needs=gib(4, cpus=8)), job("b")], machine(), [busy(needs=gib(1, cpus=1))], "b"),
    "kept for urgent": ([job("a"), job("b")], machine(2, reserved_for_urgent=1), [], "a"),
    "kept for urgent, used": ([job("a"), job("u", urgent=True)], machine(2, reserved_for_urgent=1), [busy()], "u"),
    "urgent ones that run": ([job("a")], machine(2, reserved_for_urgent=1), [busy(urgent=True)], "a"),
}


@pytest.mark.parametrize("case", ROOM)
def test_what_fits_starts(case: str) -> None:
    """Beside what runs, and beside what room is kept for."""
    waiting, place_, running, started = ROOM[case]
    found = names(waiting, [place_], running)
    assert (len(found.split()) if isinstance(started, int) else found) == started


def test_a_big_job_is_not_overtaken_for_ever() -> None:
    """Small jobs come without end; the one that needs nearly all the memory starts ten minutes after it came, and one
    small job's time.
    """
    big = job("big", needs=gib(15))
    running: list[tuple[int, BusySlot]] = [(3, busy("s", 2))]
    for minute in range(60):
        now = NOW + timedelta(minutes=minute)
        small = [job(f"s{minute}{n}", -minute, needs=gib(2)) for n in range(3)]
        running = [(end, each) for end, each in running if end > minute]
        started = place([big, *small], [machine()], [each for _, each in running], now).started
        if any(each.job == "big" for each in started):
            break
        running += [(minute + 3, busy("s", 2)) for _ in started]
    assert 10 <= minute <= 13


GPUS = (Gpu("0", 24 * GIB), Gpu("1", 40 * GIB))


@pytest.mark.parametrize(
    ("waiting", "running", "assigned"),
    [
        ([job("a", needs=gib(1, gpu=True)), job("b", needs=gib(1, gpu=True)), job("c")], [], ["1", "0", None]),
        ([job("a", needs=gib(1, gpu_memory=30 * GIB))], [], ["1"]),
        ([job(f"a{n}", needs=gib(1, gpu_memory=16 * GIB)) for n in range(5)], [], ["1", "0", "1"]),
        ([job("a", needs=gib(1, gpu=True))], [busy(needs=gib(1, gpu_memory=GIB), gpu="1")], ["0"]),
        ([job("a", needs=gib(1, gpu=True))], [busy(needs=gib(1, gpu=True), gpu=name) for name in "01"], []),
    ],
)
def test_gpus_are_assigned(waiting: list[WaitingJob], running: list[BusySlot], assigned: list[str | None]) -> None:
    """One each, unless they say how much they need; the one with the most left; a job without the need gets none."""
    started = place(waiting, [machine(9, 16, 8, *GPUS)], running, NOW).started
    assert [each.gpu for each in started] == assigned


def test_a_gpu_of_unknown_memory_is_for_one_job() -> None:
    """Whatever the job says that it needs."""
    jobs = [job(f"a{n}", needs=gib(1, gpu_memory=GIB)) for n in range(2)]
    placing = place(jobs, [machine(9, 16, 8, Gpu("0"))], [], NOW)
    assert [each.job for each in placing.started] == ["a0"]
    assert placing.waits == {"a": "waits for 1 GiB of a GPU; running: a"}


@pytest.mark.parametrize(
    ("gpus", "why"),
    [
        ((), "it needs a GPU, and this machine has none"),
        ((Gpu("0", 8 * GIB),), "it needs a GPU with 20 GiB, and this machine has none"),
    ],
)
def test_what_no_machine_has_is_said_at_once(gpus: tuple[Gpu, ...], why: str) -> None:
    """It neither waits nor keeps room from others; and it does not matter what runs."""
    waiting = [job("a", 60, needs=gib(1, gpu_memory=20 * GIB)), job("b")]
    placing = place(waiting, [machine(9, 16, 8, *gpus)], [busy()], NOW)
    assert (placing.never, placing.waits) == ({"a": why}, {})
    assert [each.job for each in placing.started] == ["b"]


def test_idle_models_are_ended_where_their_memory_is_wanted() -> None:
    """They keep no job waiting; one of the same plugin is used again, and stands for the job's own memory."""
    idle = [IdleModel("a", "local", 6 * GIB, "1"), IdleModel("b", "local", 6 * GIB)]

    def started(*jobs: WaitingJob) -> tuple[Placement, ...]:
        return place(jobs, [machine(9, 16, 8, *GPUS)], [], NOW, idle).started

    assert started(job("c", needs=gib(4))) == (Placement("c", "local", None, 0),)
    assert started(job("c", needs=gib(8))) == (Placement("c", "local", None, 4 * GIB),)
    assert started(job("b", needs=gib(8))) == (Placement("b", "local", None, 0),)
    assert started(job("a", needs=gib(8, gpu_memory=GIB))) == (Placement("a", "local", "1", 0),)
    assert started(job("c", needs=gib(8)), job("d", needs=gib(8)))[1].make_room == 6 * GIB


def test_another_machine_is_used_where_one_is_full() -> None:
    """The one with a warm model of the plugin, else the one with the most memory left."""
    two = [machine(1), Machine("ward", 1, 4, 64 * GIB)]
    assert [each.machine for each in place([job("a"), job("b")], two, [], NOW).started] == ["ward", "local"]
    warm = [IdleModel("a", "local", GIB)]
    assert [each.machine for each in place([job("a")], two, [], NOW, warm).started] == ["local"]


FREE = "GiB of memory (4 GiB of 16 GiB are free)"
WHY = {
    "memory": (job("a", needs=gib(8)), [busy("x", 10), busy("y", 2)], f"8 {FREE}; running: x, y"),
    "processors": (
        job("a", needs=gib(1, cpus=4)),
        [busy(needs=gib(1, cpus=6))],
        "4 processors (2 of 8 are free); running: other",
    ),
    "slots": (job("a"), [busy("x", 0.1) for _ in range(9)], "one of 9 slots; running: 9 × x"),
    "turn": (job("a", at_once=1), [busy("a")], "its turn: at most 1 job of it at once"),
    "many": (job("a", needs=gib(15)), [busy(name, 2.4) for name in "vwxyz"], f"15 {FREE}; running: v, w, x, 2 more"),
}


@pytest.mark.parametrize("case", WHY)
def test_why_a_job_waits_is_said(case: str) -> None:
    """What it waits for, how much of that there is, and what runs."""
    waiting, running, why = WHY[case]
    assert place([waiting], [machine()], running, NOW).waits == {"a": f"waits for {why}"}


def test_slots_that_are_kept_are_named() -> None:
    """A routine job that waits beside a free slot reads why; where all are taken that is said for every job."""
    kept = machine(2, reserved_for_urgent=1)
    why = "waits for one of 2 slots (1 kept for urgent jobs); running: x"
    assert place([job("a")], [kept], [busy("x")], NOW).waits == {"a": why}
    assert why_full(kept, [busy("x"), busy("x")]) == "waits for one of 2 slots; running: 2 × x"


def test_room_that_is_kept_is_named() -> None:
    """A job that would fit and waits for the sake of another says so."""
    waits = place([job("big", 10, needs=gib(16)), job("s", needs=gib(2))], [machine()], [busy(gib=1)], NOW).waits
    assert waits["s"] == "waits for 2 GiB of memory (0 GiB of 16 GiB are free); running: other; room is kept for big"


@given(
    st.lists(
        st.tuples(
            st.integers(0, 60),
            st.sampled_from(["a", "b", "c"]),
            st.builds(
                Resources,
                cpus=st.floats(0, 20),
                memory=st.integers(0, 40),
                gpu=st.booleans(),
                gpu_memory=st.integers(0, 12),
            ),
            st.booleans(),
            st.booleans(),
        ),
        max_size=12,
    ),
    st.integers(1, 5),
    st.integers(0, 20),
)
def test_no_machine_is_ever_given_more_than_it_has(jobs: list[Any], slots: int, idle: int) -> None:
    """Whatever waits: slots, processors, memory and GPUs hold; every job starts, waits with a reason, or never runs."""
    waiting = [
        WaitingJob(str(number), plugin, 2, NOW - timedelta(minutes=minutes), needs, urgent, high)
        for number, (minutes, plugin, needs, urgent, high) in enumerate(jobs)
    ]
    gpus = (Gpu("0", 10), Gpu("1"))
    here = Machine("local", slots, 8.0, 32, gpus, reserved_for_urgent=slots - 1)
    placing = place(waiting, [here], [], NOW, [IdleModel("a", "local", idle)])
    by_name = {each.job: each for each in waiting}
    taken = [(by_name[each.job], each) for each in placing.started]
    assert len(taken) <= slots
    assert sum(not each.urgent for each, _ in taken) <= 1
    assert sum(min(each.resources.memory, 32) for each, _ in taken) <= 32
    assert sum(min(each.resources.cpus, 8.0) for each, _ in taken) <= 8.001
    for gpu in gpus:
        on = [each.resources for each, placed in taken if placed.gpu == gpu.name]
        assert len(on) <= 1 or sum(each.gpu_memory or 10 for each in on) <= 10
    assert all((placed.gpu is not None) == each.resources.needs_gpu for each, placed in taken)
    started = {each.job for each in placing.started}
    assert all(each.job in started or each.job in placing.never or each.plugin in placing.waits for each in waiting)

"""Which waiting jobs start now, and where: one pure function of what waits, the machines, and what runs on them.

**Order.** Urgent jobs first. Of the others the one that is due first: a job is due when it came, and one of high
priority half an hour before that. So high goes before routine, and a routine job that has waited for half an hour
longer goes before high: none starves.

**Room.** A job starts where its resources fit beside those of the jobs that run there. One that does not fit is
overtaken by jobs that do. When it is urgent, or has waited for ten minutes, room is kept for it: others start only if
they fit beside it, too. What wants more processors or memory than a machine has runs there alone; what wants a GPU that
no machine has never runs.

**No pre-emption**: a job that is killed for another is paid twice. For urgent jobs slots are kept free instead.

Warm models that wait for a job hold memory, but are in nobody's way: they are ended where it is wanted, the one of the
same plugin last, since it saves loading.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from plugins.resources import Resources

LEAD = timedelta(minutes=30)
"""By how much a job of high priority is due before a routine one that came at the same time."""
PATIENCE = timedelta(minutes=10)
"""After which room is kept for a job that fits nowhere yet."""
_NAMED = 3
_ROUNDING = 1e-6
"""Of processors: ten times 0.1 is not 1."""


@dataclass(frozen=True, slots=True)
class WaitingJob:
    """A job that may start, as far as time and people are concerned."""

    job: str
    plugin: str
    at_once: int
    """Jobs of its plugin at the same time, at most, wherever they run."""
    since: datetime
    """When it came."""
    resources: Resources
    urgent: bool = False
    high: bool = False
    """Of high priority; without meaning for an urgent one."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """A graphics processor that jobs may use."""

    name: str
    """As CUDA_VISIBLE_DEVICES takes it: an index, or a UUID."""
    memory: int = 0
    """Bytes; 0 where nobody knows, and then each job has it alone."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Where jobs run."""

    name: str
    slots: int
    """Jobs at the same time, at most."""
    cpus: float
    memory: int
    gpus: tuple[Gpu, ...] = ()
    reserved_for_urgent: int = 0
    """Of the slots: those that only urgent jobs get."""


@dataclass(frozen=True, slots=True)
class BusySlot:
    """A job that runs, or a trial of examples, which takes what a job takes."""

    plugin: str
    machine: str
    resources: Resources
    gpu: str | None = None
    urgent: bool = False
    is_trial: bool = False
    """The examples of its plugin are run, instead of a job."""

    @property
    def shown(self) -> str:
        """What it is, for people."""
        return f"examples of {self.plugin}" if self.is_trial else self.plugin


@dataclass(frozen=True, slots=True)
class IdleModel:
    """A warm process that waits for its next job."""

    plugin: str
    machine: str
    memory: int
    """Bytes that it holds."""
    gpu: str | None = None
    gpu_memory: int = 0
    """Bytes that it may hold of that; 0 where nobody knows, and then it is all of it."""


@dataclass(frozen=True, slots=True)
class Placement:
    """A job that starts now."""

    job: str
    machine: str
    gpu: str | None = None
    make_room: int = 0
    """Bytes that idle models of this machine have to give back first."""
    clears_gpu: bool = False
    """Whether idle models on its GPU have to end first, but for the one that does the job."""


@dataclass(frozen=True)
class PlacementPlan:
    """What comes of it."""

    started: tuple[Placement, ...] = ()
    """In their order."""
    waits: Mapping[str, str] = field(default_factory=dict)
    """Plugin → why the first of its jobs that do not start now waits."""
    never: Mapping[str, str] = field(default_factory=dict)
    """Job → why no machine can ever run it."""


def place(
    waiting: Sequence[WaitingJob],
    machines: Sequence[Machine],
    running: Iterable[BusySlot],
    now: datetime,
    idle: Sequence[IdleModel] = (),
) -> PlacementPlan:
    """See the module. Jobs that are due at the same time start in the order of `waiting`."""
    busy = list(running)
    rooms = [_MachineRoom(machine, busy, idle) for machine in machines]
    of_plugin = Counter(each.plugin for each in busy)
    started: list[Placement] = []
    waits: dict[str, str] = {}
    never: dict[str, str] = {}
    for job in sorted(waiting, key=_turn):
        if of_plugin[job.plugin] >= job.at_once:
            waits.setdefault(job.plugin, f"waits for its turn: at most {_counted(job.at_once, 'job')} of it at once")
            continue
        if job.plugin in waits and not any(room.has_slot(job) for room in rooms):
            continue  # there may be thousands of them
        lacks = [room.lacks(job) for room in rooms]
        if all(each and each.for_ever for each in lacks):
            never[job.job] = next(each.text for each in lacks if each)
            continue
        if None in lacks:
            placement = _best(rooms, lacks, job).take(job)
            started.append(placement)
            of_plugin[job.plugin] += 1
            continue
        lack = next(each for each in lacks if each and not each.for_ever)
        waits.setdefault(job.plugin, lack.text)
        if lack.of_room and (job.urgent or now - job.since >= PATIENCE):
            rooms[lacks.index(lack)].keep_for(job)
    return PlacementPlan(tuple(started), waits, never)


def why_full(machine: Machine, running: Iterable[BusySlot]) -> str:
    """Why every job waits where all slots are taken."""
    return _MachineRoom(machine, running, ()).lacks_slot().text


def _turn(job: WaitingJob) -> tuple[bool, datetime]:
    return not job.urgent, job.since - LEAD if job.high else job.since


def _best(rooms: Sequence[_MachineRoom], lacks: Sequence[_Lack | None], job: WaitingJob) -> _MachineRoom:
    """A machine with a warm model of the plugin, else the one with the most memory left."""
    fitting = [room for room, lack in zip(rooms, lacks, strict=True) if lack is None]
    return max(fitting, key=lambda room: (room.warm(job.plugin) is not None, room.memory))


@dataclass(frozen=True, slots=True)
class _Lack:
    """Why a job does not fit on a machine."""

    text: str
    for_ever: bool = False
    of_room: bool = True
    """Not of a slot."""


class _MachineRoom:
    """What is left of a machine."""

    def __init__(self, machine: Machine, running: Iterable[BusySlot], idle: Sequence[IdleModel]) -> None:
        self._machine = machine
        self._here = [each for each in running if each.machine == machine.name]
        self._idle = [each for each in idle if each.machine == machine.name]
        self._slots = machine.slots - len(self._here)
        self._slots_for_others = self._slots_left_for_others()
        needs = [self._need(each.resources) for each in self._here]
        self._cpus = machine.cpus - sum(each.cpus for each in needs) + _ROUNDING
        self.memory = machine.memory - sum(each.memory for each in needs)
        """Bytes that no job has; idle models may hold some of them."""
        self._gpus = {gpu.name: self._left_of(gpu) for gpu in machine.gpus}
        self._kept_for: list[str] = []
        self._kept_memory = 0

    def _slots_left_for_others(self) -> int:
        others = sum(not each.urgent for each in self._here)
        return self._machine.slots - self._machine.reserved_for_urgent - others

    def _need(self, asked: Resources) -> Resources:
        """What it takes here: all there is, where it wants more."""
        return replace(asked, cpus=min(asked.cpus, self._machine.cpus), memory=min(asked.memory, self._machine.memory))

    def _left_of(self, gpu: Gpu) -> int:
        """What no job has of a GPU, in units of `_taken`."""
        return (gpu.memory or 1) - sum(_taken(gpu, each.resources) for each in self._here if each.gpu == gpu.name)

    def warm(self, plugin: str) -> IdleModel | None:
        """An idle model of a plugin."""
        return next((each for each in self._idle if each.plugin == plugin), None)

    def has_slot(self, job: WaitingJob) -> bool:
        """Whether there is a slot for it."""
        return self._slots > 0 and (job.urgent or self._slots_for_others > 0)

    def lacks(self, job: WaitingJob) -> _Lack | None:
        """What keeps it from starting here; None where nothing does."""
        need = self._need(job.resources)
        if need.needs_gpu and not any(_could_hold(gpu, need) for gpu in self._machine.gpus):
            return _Lack(self._no_such_gpu(need), for_ever=True)
        if not self.has_slot(job):
            return self.lacks_slot()
        if need.memory and need.memory > self.memory:
            left = f"{_size(max(self.memory, 0))} of {_size(self._machine.memory)} are free"
            return self._wait(f"waits for {_size(need.memory)} of memory ({left})")
        if need.cpus and need.cpus > self._cpus:
            left = f"{max(round(self._cpus, 3), 0):g} of {self._machine.cpus:g} are free"
            return self._wait(f"waits for {need.cpus:g} processors ({left})")
        if need.needs_gpu and self._gpu_for(job) is None:
            return self._wait(f"waits for {_size(need.gpu_memory)} of a GPU" if need.gpu_memory else "waits for a GPU")
        return None

    def lacks_slot(self) -> _Lack:
        """That there is none, or only such as are kept for urgent jobs."""
        kept = f" ({self._machine.reserved_for_urgent} kept for urgent jobs)" if self._slots > 0 else ""
        return replace(self._wait(f"waits for one of {_counted(self._machine.slots, 'slot')}{kept}"), of_room=False)

    def _no_such_gpu(self, need: Resources) -> str:
        if not self._machine.gpus:
            return "it needs a GPU, and this machine has none"
        return f"it needs a GPU with {_size(need.gpu_memory)}, and this machine has none"

    def _wait(self, what: str) -> _Lack:
        names = Counter(each.shown for each in self._here)
        shown = [f"{count} × {name}" if count > 1 else name for name, count in sorted(names.items())]
        more = [f"{len(shown) - _NAMED} more"] if len(shown) > _NAMED else []
        running = f"; running: {', '.join([*shown[:_NAMED], *more])}" if shown else ""
        kept = f"; room is kept for {', '.join(self._kept_for[:_NAMED])}" if self._kept_for else ""
        return _Lack(f"{what}{running}{kept}")

    def _gpu_for(self, job: WaitingJob) -> str | None:
        """A GPU that it fits on: that of a warm model of its plugin, else the one with the most left."""
        warm = {each.gpu for each in self._idle if each.plugin == job.plugin}
        fitting = [
            gpu.name
            for gpu in self._machine.gpus
            if _could_hold(gpu, job.resources) and _taken(gpu, job.resources) <= self._gpus[gpu.name]
        ]
        return max(fitting, key=lambda name: (name in warm, self._gpus[name]), default=None)

    def take(self, job: WaitingJob) -> Placement:
        """It starts here."""
        gpu = self._gpu_for(job) if job.resources.needs_gpu else None
        need = self._need(job.resources)
        reused = next((each for each in self._idle if each.plugin == job.plugin and each.gpu == gpu), None)
        if reused:
            self._idle.remove(reused)
        self._here.append(BusySlot(job.plugin, self._machine.name, job.resources, gpu, job.urgent))
        self._slots -= 1
        self._slots_for_others -= not job.urgent
        self._subtract(need, gpu)
        clears_gpu = gpu is not None and self._is_crowded(gpu)
        if clears_gpu:
            self._idle = [each for each in self._idle if each.gpu != gpu]
        return Placement(job.job, self._machine.name, gpu, self._to_end(), clears_gpu)

    def _is_crowded(self, gpu: str) -> bool:
        """Whether idle models hold more of a GPU than the jobs on it leave."""
        (found,) = [each for each in self._machine.gpus if each.name == gpu]
        held = [Resources(gpu=True, gpu_memory=each.gpu_memory) for each in self._idle if each.gpu == gpu]
        return sum(_taken(found, each) for each in held) > self._gpus[gpu]

    def _to_end(self) -> int:
        """Bytes of idle models that are in the way; they count as ended from now on, the first ones first."""
        wanted = sum(each.memory for each in self._idle) - self.memory - self._kept_memory
        freed = 0
        while freed < wanted:
            freed += self._idle.pop(0).memory
        return max(wanted, 0)

    def keep_for(self, job: WaitingJob) -> None:
        """Nothing else may start that would make it wait for longer."""
        need = self._need(job.resources)
        fullest = [gpu.name for gpu in self._machine.gpus if _could_hold(gpu, need)]
        gpu = max(fullest, key=lambda name: self._gpus[name], default=None) if need.needs_gpu else None
        self._subtract(need, gpu)
        self._kept_for.append(job.plugin)
        self._kept_memory += need.memory

    def _subtract(self, need: Resources, gpu: str | None) -> None:
        self.memory -= need.memory
        self._cpus -= need.cpus
        if gpu is not None:
            (found,) = [each for each in self._machine.gpus if each.name == gpu]
            self._gpus[gpu] -= _taken(found, need)


def _could_hold(gpu: Gpu, need: Resources) -> bool:
    return not gpu.memory or need.gpu_memory <= gpu.memory


def _taken(gpu: Gpu, need: Resources) -> int:
    """Bytes of a GPU, 1 where nobody knows its memory; all of it where a job does not say how much it needs."""
    return (need.gpu_memory or gpu.memory) if gpu.memory else 1


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _size(size: int) -> str:
    return f"{size / 2**30:.3g} GiB"

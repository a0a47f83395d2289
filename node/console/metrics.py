"""The node's figures in Prometheus' text format. Names and units follow its rules; docs/metrics.md lists them.

What receivers count comes from their files, everything else from `node.desk.figures`. No label has more values than the
configuration has entries, and none says anything of a patient.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from node import __version__
from node.config.models import Configuration
from node.desk.figures import BOUNDS, NodeFigures, severity_of
from node.desk.rows import DurationHistogram, TimedStep
from node.store.meters import METERS

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_STEPS = {
    TimedStep.INDEX: ("index_seconds", "From the arrival of an object to its row in the ledger.", ()),
    TimedStep.COMPLETE: (
        "completion_seconds",
        "From the last object of a study to its completion; most of it is the quiet period.",
        (),
    ),
    TimedStep.WAIT: ("job_wait_seconds", "From a job to its first attempt.", ("plugin",)),
    TimedStep.RUN: ("attempt_seconds", "Attempts at jobs, from beginning to end.", ("plugin",)),
    TimedStep.JOB: ("job_seconds", "From a job to its outcome.", ("plugin", "outcome")),
    TimedStep.ENCODE: ("encode_seconds", "From the outcome of a job to its objects.", ("plugin",)),
    TimedStep.DELIVER: (
        "delivery_seconds",
        "From a result's object in the outbox to its acceptance by the destination.",
        ("destination",),
    ),
    TimedStep.FORWARD: (
        "forward_seconds",
        "From a forwarded image in the outbox to its acceptance by the destination.",
        ("destination",),
    ),
    TimedStep.TURNAROUND: (
        "turnaround_seconds",
        "From the last image of a job to the acceptance of an object of its result.",
        ("destination",),
    ),
}
"""Of each step: its metric, its HELP, and its labels."""
_Values = Mapping[Any, float]
"""By the values of a metric's labels, a tuple."""


def text(configuration: Configuration, figures: NodeFigures, now: datetime) -> bytes:
    """Everything, as it is at `now`."""
    registry = CollectorRegistry()
    meters = configuration.node.data / METERS
    if meters.is_dir():
        MultiProcessCollector(registry, path=str(meters))  # type: ignore[no-untyped-call] # the library has no types here
    registry.register(_Figures(configuration, figures, now))
    return generate_latest(registry)


class _Figures(Collector):
    """What is not counted by receivers."""

    def __init__(self, configuration: Configuration, figures: NodeFigures, now: datetime) -> None:
        self._configuration = configuration
        self._figures = figures
        self._now = now

    def collect(self) -> Iterator[Metric]:
        """Each metric with its values."""
        yield from self._node()
        yield from self._disk()
        yield from self._ledger()

    def _node(self) -> Iterator[Metric]:
        found = self._figures
        build = {(__version__, platform.python_version()): 1.0}
        yield _gauge("build_info", "Version of pacsnode and of Python.", build, "version", "python")
        running = {(name,): float(pid is not None) for name, pid in found.children.items()}
        yield _gauge("process_up", "Whether a process of the node runs.", running, "process")
        if found.pulse is not None:
            yield _gauge(
                "pulse_timestamp_seconds",
                "When the node process last said that its stages turn, which it does twice a minute.",
                _one(found.pulse.at.timestamp()),
            )
            yield _gauge("stages_stuck", "Stages that do no work.", _one(len(found.pulse.stuck)))
        yield _gauge("associations_open", "Open associations.", _one(found.open_associations))
        ends = {(key,): end.timestamp() for key, end in found.certificates.items()}
        yield _gauge(
            "certificate_end_timestamp_seconds",
            "When a certificate ends, by the key in the configuration that names its file.",
            ends,
            "key",
        )

    def _disk(self) -> Iterator[Metric]:
        found, limits = self._figures, self._configuration.node.limits
        yield _gauge("disk_free_bytes", "Free space under the data folder.", _one(found.load.free_bytes))
        yield _gauge("disk_size_bytes", "Size of the file system of the data folder.", _one(found.disk_bytes))
        yield _gauge(
            "disk_reserve_bytes",
            "Free space below which associations are refused (node.limits.free_space).",
            _one(limits.free_space),
        )
        yield _gauge("ledger_size_bytes", "The ledger and its write-ahead log.", _one(found.ledger_bytes))
        yield _gauge("backlog_objects", "Objects that wait to be indexed.", _one(found.load.waiting))
        yield _gauge(
            "backlog_limit_objects",
            "Waiting objects above which associations are refused (node.limits.waiting_objects).",
            _one(limits.waiting_objects),
        )

    def _ledger(self) -> Iterator[Metric]:
        found = self._figures.ledger
        yield _gauge("ledger_readable", "Whether the ledger can be read.", _one(found is not None))
        yield self._ages()
        if found is None:
            return
        yield _gauge(
            "audit_waiting",
            "Events that are not in the audit trail yet, and entries that the syslog server does not have.",
            _flat(found.audit_waiting),
            "to",
        )
        yield _gauge("studies", "Studies by status.", _flat(found.studies), "status")
        yield _gauge("instances", "SOP instances in the ledger by status.", _flat(found.instances), "status")
        yield _gauge("notifications", "Notifications by status.", _flat(found.notifications), "status")
        yield _gauge("jobs", "Jobs in the ledger by plugin and status.", _nested(found.jobs), "plugin", "status")
        delivered = {
            (str(kind), *key): n for kind, places in found.deliveries.items() for key, n in _nested(places).items()
        }
        about = "Deliveries in the ledger by kind (object of a result, forwarded image), destination and status."
        yield _gauge("deliveries", about, delivered, "kind", "destination", "status")
        alerts = {(kind, severity_of(kind), state): n for (kind, state), n in _nested(found.alerts).items()}
        about = "Alerts whose condition holds, by kind and severity; state says whether somebody acknowledged them."
        yield _gauge("alerts", about, alerts, "kind", "severity", "state")
        for step, (name, about, labels) in _STEPS.items():
            yield _histogram(name, about, labels, found.steps[step])

    def _ages(self) -> Metric:
        """How long the oldest of each queue has waited; zero where nothing waits."""
        found, now = self._figures, self._now.timestamp()
        ages = {("index", ""): max(0.0, now - found.oldest_object) if found.oldest_object is not None else 0.0}
        if found.ledger is not None:
            ages["run", ""] = self._age(found.ledger.oldest_job)
            for queue, oldest in (("deliver", found.ledger.oldest_results), ("forward", found.ledger.oldest_images)):
                for destination in {*self._configuration.destinations, *oldest}:
                    ages[queue, destination] = self._age(oldest.get(destination))
        about = "How long the oldest of a queue has waited: objects to index, jobs to run, results and images to send."
        return _gauge("queue_age_seconds", about, ages, "queue", "destination")

    def _age(self, since: datetime | None) -> float:
        return max(0.0, (self._now - since).total_seconds()) if since is not None else 0.0


def _gauge(name: str, about: str, values: _Values, *labels: str) -> Metric:
    metric = GaugeMetricFamily(f"pacsnode_{name}", about, labels=labels)
    for key, value in sorted(values.items()):
        metric.add_metric(list(key), float(value))
    return metric


def _histogram(name: str, about: str, labels: Sequence[str], found: Sequence[DurationHistogram]) -> Metric:
    metric = HistogramMetricFamily(f"pacsnode_{name}", about, labels=labels)
    for each in found:
        below, buckets = 0, []
        for bound, n in zip((*map(str, BOUNDS), "+Inf"), each.counts, strict=True):
            below += n
            buckets.append((bound, float(below)))
        metric.add_metric([each.place, each.outcome][: len(labels)], buckets, each.seconds)
    return metric


def _one(value: float) -> dict[tuple[str, ...], float]:
    return {(): value}


def _flat(counts: Mapping[str, int]) -> dict[tuple[str, ...], float]:
    return {(status,): n for status, n in counts.items()}


def _nested(counts: Mapping[str, Mapping[str, int]]) -> dict[tuple[str, ...], float]:
    return {(place, status): n for place, statuses in counts.items() for status, n in statuses.items()}

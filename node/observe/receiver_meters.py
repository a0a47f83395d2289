"""What a receiver process counts, for /metrics: in files that the console's process reads, without locks between them.

prometheus-client's multiprocess mode: each process adds to a memory-mapped file of its own. The file is named by the
receiver and not by the process id, so a receiver that died goes on with its file, and there are never more files than
receivers. A label's values come from the configuration, or from a table of ours: a stranger cannot make new ones.

Nothing here is synchronised to the disk. Counting an object takes some microseconds, after its response. The files have
their whole space from the beginning: a page of a mapped file that a full disk has no room for would end the process.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from node.config.destinations import dicom_destinations
from node.config.models import Configuration

OTHER = "other"
"""Source of whoever is not in the configuration."""
_REASONS = {
    (1, 1, 1): "no-reason",
    (1, 1, 3): "calling-ae-title",
    (1, 1, 7): "called-ae-title",
    (2, 3, 1): "congestion",
    (2, 3, 2): "local-limit",
}
"""By result, source and reason of the A-ASSOCIATE-RJ (PS3.8 Table 9-21)."""
_HANDSHAKE = "tls-handshake"
_COUNTERS = (
    ("associations_accepted", "Associations that were accepted.", ["source"]),
    (
        "associations_refused",
        "Associations that were refused, by the reason in the A-ASSOCIATE-RJ, and failed TLS handshakes.",
        ["source", "reason"],
    ),
    ("objects_received", "Objects that were answered with success.", ["source"]),
    ("received_bytes", "Bytes of the data sets of these objects.", ["source"]),
    (
        "objects_refused",
        "Objects that were not kept, by the status of the C-STORE response.",
        ["source", "status"],
    ),
)
_FILES = ("counter", "histogram", "gauge_mostrecent")
"""How prometheus-client begins the names of the files for the kinds that are used here."""
_SMALLEST, _FOR_EACH_SOURCE = 1 << 16, 1 << 12
"""Bytes of a file, and more for the values of each source: about 13, each with its name, labels and help."""
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds of the time to keep an object."""


def sources(configuration: Configuration) -> dict[str, str]:
    """Calling AE title → the name in the configuration of whom it belongs to; the first, where several share it."""
    found: dict[str, str] = {}
    for name, modality in configuration.modalities.items():
        found.setdefault(modality.ae_title, name)
    for name, destination in dicom_destinations(configuration.destinations).items():
        found.setdefault(destination.ae_title, name)
    for name, box in configuration.boxes.items():
        for title in box.titles:
            found.setdefault(title, name)
    return found


def turned_at(folder: Path) -> dict[str, float]:
    """When each receiver last looked for new connections: seconds since 1970, by its name; empty where none counts."""
    from prometheus_client import CollectorRegistry, multiprocess

    collector = multiprocess.MultiProcessCollector(CollectorRegistry(), path=str(folder))  # type: ignore[no-untyped-call] # the library has no types here
    files = [str(each) for each in folder.glob("gauge_mostrecent_*.db")]
    return {
        sample.labels["receiver"]: sample.value
        for metric in collector.merge(files)  # type: ignore[no-untyped-call] # the library has no types here
        for sample in metric.samples
        if "receiver" in sample.labels
    }


def _reserve(folder: Path, receiver: str, number_of_sources: int) -> None:
    for kind in _FILES:
        with (folder / f"{kind}_{receiver}.db").open("ab") as file:
            os.posix_fallocate(file.fileno(), 0, max(_SMALLEST, number_of_sources * _FOR_EACH_SOURCE))


class ReceiverMeters:
    """The counters of one receiver process; made once, before it accepts anybody."""

    def __init__(self, folder: Path, receiver: str, names: dict[str, str]) -> None:
        """`folder` is there; `names` is what `sources` gives. Raises OSError where there is no room."""
        _reserve(folder, receiver, len(set(names.values())) + 1)
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, values

        values.ValueClass = values.MultiProcessValue(process_identifier=lambda: receiver)  # type: ignore[no-untyped-call] # the library has no types here
        registry = CollectorRegistry()
        self._names = names
        self._turned_at = 0.0
        self._accepted, self._refused, self._objects, self._octets, self._not_taken = (
            Counter(f"pacsnode_{name}", about, labels, registry=registry) for name, about, labels in _COUNTERS
        )
        self._seconds = Histogram(
            "pacsnode_store_seconds",
            "From the C-STORE request to its response, for objects that were kept.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._turned = Gauge(
            "pacsnode_receiver_turn_timestamp_seconds",
            "When a receiver last looked for new connections, which it does twice a second.",
            ["receiver"],
            registry=registry,
            multiprocess_mode="mostrecent",
        ).labels(receiver)

    def accepted(self, calling_ae_title: str) -> None:
        """An association was accepted."""
        self._accepted.labels(self._source(calling_ae_title)).inc()

    def refused(self, calling_ae_title: str, code: tuple[int, int, int]) -> None:
        """An association was refused."""
        self._refused.labels(self._source(calling_ae_title), _REASONS.get(code, OTHER)).inc()

    def handshake_failed(self) -> None:
        """Somebody did not get as far as saying who it is."""
        self._refused.labels(OTHER, _HANDSHAKE).inc()

    def kept(self, calling_ae_title: str, octets: int, seconds: float) -> None:
        """An object was kept, and answered with success."""
        source = self._source(calling_ae_title)
        self._objects.labels(source).inc()
        self._octets.labels(source).inc(octets)
        self._seconds.observe(seconds)

    def not_kept(self, calling_ae_title: str, status: int) -> None:
        """An object was answered with another status."""
        self._not_taken.labels(self._source(calling_ae_title), f"{status:04X}").inc()

    def turned(self) -> None:
        """The loop that accepts connections has begun another round."""
        now = time.time()
        if abs(now - self._turned_at) >= 1.0:
            self._turned_at = now
            self._turned.set(now)

    def _source(self, calling_ae_title: str) -> str:
        return self._names.get(calling_ae_title, OTHER)

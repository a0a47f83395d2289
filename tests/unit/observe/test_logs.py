"""Log lines: what they may hold, and that writing them stops nothing."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from pydicom.dataset import Dataset
from pydicom.valuerep import PersonName

from node.observe import logs


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Leave structlog and logging as they were."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def written(stream: io.StringIO) -> list[dict[str, Any]]:
    """The lines as JSON."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.fixture
def stream() -> io.StringIO:
    """Where JSON lines of this test go."""
    target = io.StringIO()
    logs.configure("json", "info", process="node", stream=target)
    return target


def test_a_line_is_json_with_level_time_and_process(stream: io.StringIO) -> None:
    """For whoever collects them."""
    structlog.get_logger().info("received", bytes=3)
    [line] = written(stream)
    assert (line["event"], line["level"], line["process"], line["bytes"]) == ("received", "info", "node", 3)
    assert line["timestamp"].endswith("Z")


def test_study_and_job_are_in_every_line_of_the_block(stream: io.StringIO) -> None:
    """Bound by context; gone after it."""
    log = structlog.get_logger()
    with logs.about(study="1.2.3", job="abc"):
        log.info("inside")
    log.info("after")
    inside, after = written(stream)
    assert (inside["study"], inside["job"]) == ("1.2.3", "abc")
    assert "study" not in after


@pytest.mark.parametrize("style", ["json", "console"])
def test_fault_27_control_characters_are_escaped(style: Any) -> None:
    """An AE title cannot forge a line, colour the terminal or turn the text around."""
    target = io.StringIO()
    logs.configure(style, "info", process="node", stream=target)
    structlog.get_logger().info("refused", ae="X\x1b[31m\r\n2026 forged\u202e", nested={"k\n": ["a\x00"]})
    assert len(target.getvalue().splitlines()) == 1
    assert not set("\x1b\r\x00\u202e") & set(target.getvalue())


def test_an_exception_cannot_forge_a_line_of_its_own() -> None:
    """Its text may come from the wire: further lines are indented."""
    target = io.StringIO()
    logs.configure("console", "info", process="node", stream=target)
    try:
        raise ValueError("bad\n2026-01-01T00:00:00Z [info] all is well\x1b[2J")
    except ValueError:
        structlog.get_logger().exception("failed")
    first, *rest = target.getvalue().splitlines()
    assert "failed" in first
    assert all(line.startswith("    ") for line in rest)
    assert "\x1b" not in target.getvalue()


def test_a_traceback_has_no_local_variables(stream: io.StringIO) -> None:
    """They hold patients' data."""

    def read() -> None:
        patient = "Hong^Gildong"
        raise ValueError(len(patient))

    try:
        read()
    except ValueError:
        structlog.get_logger().exception("failed")
    [line] = written(stream)
    assert "ValueError" in line["exception"]
    assert "in read" in line["exception"]
    assert "Gildong^" not in stream.getvalue()


def test_patients_are_not_named(stream: io.StringIO) -> None:
    """Neither by a person name, nor by a whole dataset, nor under a telling key."""
    dataset = Dataset()
    dataset.PatientName = "Hong^Gildong"
    structlog.get_logger().info(
        "indexed", who=PersonName("Hong^Gildong"), all=[dataset], PatientName="Hong", deep={"patient_name": "Hong"}
    )
    assert "Hong" not in stream.getvalue()
    assert "withheld" in stream.getvalue()


def test_libraries_speak_through_the_same_lines(stream: io.StringIO) -> None:
    """Warnings and worse; their debug output would show whole datasets."""
    logging.getLogger("pynetdicom").debug("everything")
    logging.getLogger("pynetdicom").error("peer sent %s", "A\x07B")
    [line] = written(stream)
    assert (line["logger"], line["event"]) == ("pynetdicom", r"peer sent A\x07B")


def test_setting_up_twice_doubles_nothing(stream: io.StringIO) -> None:
    """A reload sets up again."""
    logs.configure("json", "info", process="node", stream=stream)
    logging.getLogger("pynetdicom").error("once")
    assert len(written(stream)) == 1


class Full(io.StringIO):
    """A disk that is full until somebody makes room."""

    full = True

    def write(self, text: str) -> int:
        if self.full:
            raise OSError(28, "No space left on device")
        return super().write(text)


def test_fault_60_a_full_disk_stops_nobody_and_is_told_afterwards() -> None:
    """Lines are lost and counted; the first that can be written says how many."""
    disk = Full()
    logs.configure("console", "info", process="node", stream=disk)
    log = structlog.get_logger()
    log.info("lost")
    logging.getLogger("pynetdicom").error("lost too")
    disk.full = False
    log.info("kept")
    first, second = disk.getvalue().splitlines()
    assert first == "(2 log lines could not be written)"
    assert "kept" in second


def test_a_closed_stream_stops_nobody() -> None:
    """Standard error may be gone while a node drains."""
    target = io.StringIO()
    logs.configure("console", "info", process="node", stream=target)
    target.close()
    structlog.get_logger().info("nobody hears it")


def test_a_value_that_cannot_be_shown_stops_nobody(stream: io.StringIO) -> None:
    """Neither ours nor a library's."""

    class Broken:
        def __str__(self) -> str:
            raise RuntimeError

    structlog.get_logger().info("odd", value=Broken())
    record = logging.makeLogRecord({"name": "pynetdicom", "msg": "%d", "args": ("no number",)})
    [ours] = [each for each in logging.getLogger().handlers if type(each).__module__ == logs.__name__]
    ours.handle(record)  # and not to pytest's, which raises
    assert "cannot be shown" in stream.getvalue()
    assert "could not be formatted" in stream.getvalue()

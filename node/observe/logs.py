"""Log lines: structlog, to standard error, as coloured text or as JSON lines.

What a line may hold is decided here once. Control characters are escaped, because AE titles and UIDs
come from the wire (case 27). Values that could be a patient's name are withheld: person names,
whole datasets, and pydicom's warnings, which quote values of headers. A line that cannot be written
is counted and forgotten, because receiving goes on when the log's disk is full (case 60).
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import AbstractContextManager
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor

log = structlog.get_logger(__name__)

WITHHELD = "(withheld)"
_LONGEST = 4000
"""Characters of one value; what is longer is cut."""
_DEEPEST = 6
_NAMES = frozenset({"patientname", "patientbirthdate", "otherpatientnames", "referringphysicianname", "operatorsname"})
"""Keys, without underscores and in lower case, whose values are withheld whatever they are."""


def configure(
    style: Literal["json", "console"] = "console", level: str = "info", *, process: str, stream: TextIO | None = None
) -> None:
    """Set up structlog, and what libraries say through `logging`, for this process.

    `process` names it in every line (`node`, `receiver-1`); `stream` is standard error by default.
    """
    target = stream or sys.stderr
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _named(process),
        _exception_text,
        harmless,
    ]
    renderer = _renderer(style, target)
    sink = LogSink(target)
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: _SinkLogger(sink),
        cache_logger_on_first_use=False,
    )
    _adopt_standard_logging(shared, renderer, sink)


LINES_A_CHILD = 1000
"""Log lines of one child process: what hostile bytes make it say must not fill the log."""


def configure_child(send: Callable[[str, str, dict[str, Any]], None]) -> None:
    """In a child process: every log line goes to `send` (level, event, values), which takes it to the node.

    Warnings of pydicom stay here: they quote values of headers.
    """
    left = itertools.count(LINES_A_CHILD, -1)

    def hand_over(_: Any, level: str, event: EventDict) -> str:
        if next(left) > 0:
            values = dict(event)
            with contextlib.suppress(OSError):  # the node is gone, and this process with it in a moment
                send(level, str(values.pop("event", "")), values)
        raise structlog.DropEvent

    shared: list[Processor] = [structlog.contextvars.merge_contextvars, _exception_text, harmless]
    structlog.configure(
        processors=[*shared, hand_over],
        wrapper_class=structlog.make_filtering_bound_logger("info"),
        cache_logger_on_first_use=False,
    )
    warnings.filterwarnings("ignore")
    logging.getLogger().addHandler(logging.NullHandler())  # or `logging` would print what libraries say


def pass_on(level: str, event: str, values: Mapping[str, Any]) -> None:
    """In the node: one line of a child, as a line of this process; its values are escaped and bounded again."""
    write = getattr(log, level, None)
    if callable(write):
        write(event, **{f"child_{key}" if key in ("event", "level", "process") else key: values[key] for key in values})


def about(**ids: str) -> AbstractContextManager[None]:
    """Within this block every line of this thread carries these ids: `with about(study=uid, job=id): …`."""
    return structlog.contextvars.bound_contextvars(**ids)


class LogSink:
    """Writes lines, and survives that they cannot be written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self.lost = 0
        """Lines that could not be written since the last one that could."""

    def write(self, line: str) -> None:
        """One line; never raises on a full disk, a closed pipe or a closed stream."""
        with self._lock:
            try:
                if self.lost:
                    self._stream.write(f"({self.lost} log lines could not be written)\n")
                self._stream.write(f"{line}\n")
                self._stream.flush()
                self.lost = 0
            except (OSError, ValueError):  # ValueError: the stream is closed
                self.lost += 1


class _SinkLogger:
    """What structlog hands finished lines to."""

    def __init__(self, sink: LogSink) -> None:
        self.msg = self.debug = self.info = self.warning = self.error = self.critical = self.exception = sink.write


class _SinkHandler(logging.Handler):
    """What `logging` hands the records of libraries to."""

    def __init__(self, sink: LogSink) -> None:
        super().__init__()
        self._sink = sink

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._sink.write(self.format(record))
        except Exception as error:  # noqa: BLE001 - a library's unformattable record must not stop the library
            self._sink.write(f"a log record of {record.name} could not be formatted ({type(error).__name__})")


def harmless(_: Any, __: str, event: EventDict) -> MutableMapping[str, Any]:
    """Every value as a plain one that can be written: bounded, without control characters, without names.

    An exception's text keeps its line ends; the console indents it, so it cannot pass for a line of its own.
    """
    return {
        _text(key): _lines(value) if key == "exception" else WITHHELD if _is_name(key) else _plain(value, 0)
        for key, value in event.items()
    }


def _is_name(key: object) -> bool:
    return str(key).replace("_", "").lower() in _NAMES


def _is_of(value: object, module: str, name: str) -> bool:
    """Whether it is of a class of pydicom, which a process that has no such value need not import."""
    return any(base.__name__ == name and base.__module__ == module for base in type(value).__mro__)


def _plain(value: object, depth: int) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if _is_of(value, "pydicom.valuerep", "PersonName"):
        return WITHHELD
    if _is_of(value, "pydicom.dataset", "Dataset"):
        return f"(dataset {WITHHELD})"
    if depth >= _DEEPEST:
        return "…"
    if isinstance(value, Mapping):
        pairs = list(value.items())[:100]
        return {_text(key): WITHHELD if _is_name(key) else _plain(item, depth + 1) for key, item in pairs}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item, depth + 1) for item in list(value)[:100]]
    return _text(value)


def _text(value: object) -> str:
    try:
        text = str(value)
    except Exception as error:  # noqa: BLE001 - a value that cannot be shown must not stop who logs it
        return f"({type(value).__name__} that cannot be shown: {type(error).__name__})"
    shown = text[:_LONGEST] + "…" if len(text) > _LONGEST else text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in shown)


def _lines(value: object) -> str:
    return "\n".join(f"    {_text(line)}" for line in str(value).splitlines()[-200:])


def _exception_text(_: Any, __: str, event: EventDict) -> EventDict:
    """`exc_info` as a plain traceback: without local variables, which hold patients' data."""
    info = event.pop("exc_info", None)
    error = info if isinstance(info, BaseException) else sys.exc_info()[1] if info is True else None
    if isinstance(info, tuple):
        error = info[1]
    if error is not None:
        event["exception"] = "".join(traceback.format_exception(error))
    return event


def _named(process: str) -> Processor:
    def add(_: Any, __: str, event: EventDict) -> EventDict:
        event.setdefault("process", process)
        return event

    return add


def _renderer(style: Literal["json", "console"], stream: TextIO) -> Processor:
    if style == "json":
        return structlog.processors.JSONRenderer(ensure_ascii=False)
    return structlog.dev.ConsoleRenderer(
        colors=stream.isatty(), pad_event_to=36, exception_formatter=structlog.dev.plain_traceback, sort_keys=False
    )


def _adopt_standard_logging(shared: list[Processor], renderer: Processor, sink: LogSink) -> None:
    """Libraries speak through `logging`: warnings and worse become lines like ours."""
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )
    handler = _SinkHandler(sink)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    for old in list(root.handlers):
        if isinstance(old, _SinkHandler):
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("pydicom").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"pydicom(\..*)?")
    warnings.showwarning = _show_warning


def _show_warning(
    message: Warning | str,  # noqa: ARG001 - it may quote values of headers
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,  # noqa: ARG001 - it goes where all lines go
    line: str | None = None,  # noqa: ARG001 - the line of the program, which the file and number name
) -> None:
    """A warning of a library as a line of the log: Python would print it raw, with whatever it quotes."""
    log.warning("observe.library-warned", category=category.__name__, file=filename, line=lineno)

"""One grammar of log events, `room.event-name`, and one logger a module, whose name is `log`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.shared_data import ROOT

LEVELS = {"debug", "info", "warning", "warn", "error", "exception", "critical", "fatal", "log", "msg"}
THE_WAY = "log = structlog.get_logger(__name__)"
OTHER_MAKERS_LOGGERS = {"logging.getLogger()", "logging.getLogger('pydicom')", "logging.getLogger('pynetdicom')"}
"""Loggers whose level or handlers we set, and to which we write nothing."""


def room_of(path: Path) -> str:
    """The folder below `node/`; a module outside all rooms speaks for itself."""
    return path.parts[1] if len(path.parts) > 2 else path.stem


def mistakes(path: Path, source: str) -> Iterator[str]:
    """`file:line: what` for each logger that is made in another way, and each event of another form."""
    event = re.compile(rf"{re.escape(room_of(path))}\.[a-z0-9]+(?:-[a-z0-9]+)*")
    tree = ast.parse(source)
    for statement in (each for each in ast.walk(tree) if isinstance(each, ast.expr | ast.stmt)):
        made = isinstance(statement, ast.Assign | ast.AnnAssign) and "get_logger" in ast.unparse(statement)
        if made and (statement not in tree.body or ast.unparse(statement) != THE_WAY):
            yield f"{path}:{statement.lineno}: a logger is made by `{THE_WAY}`, at the top of its module"
        if not (isinstance(statement, ast.Call) and isinstance(statement.func, ast.Attribute)):
            continue
        method = statement.func.attr
        if method != "getLogger" and method not in LEVELS:
            continue
        of = ast.unparse(statement.func.value)
        if method == "getLogger" and ast.unparse(statement) not in OTHER_MAKERS_LOGGERS:
            yield f"{path}:{statement.lineno}: the loggers of the project are structlog's"
        if method == "getLogger" or not re.fullmatch(r"(?:.*\.)?_?log(?:ger|ging)?", of, re.IGNORECASE):
            continue
        first = statement.args[0] if statement.args else None
        if of != "log":
            yield f"{path}:{statement.lineno}: a logger's name is `log`, not `{of}`"
        elif not (isinstance(first, ast.Constant) and isinstance(first.value, str) and event.fullmatch(first.value)):
            yield f"{path}:{statement.lineno}: an event is a text `{room_of(path)}.event-name`"


def test_every_module_logs_in_one_way() -> None:
    """In node/, which alone logs: operators search for one form, and the event says which room speaks."""
    files = sorted(path for path in (ROOT / "node").rglob("*.py"))
    found = [each for path in files for each in mistakes(path.relative_to(ROOT), path.read_text())]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "log.info('object_refused')",
        "log.info('index.object-refused')",
        "log.info('receive.object_refused')",
        "log.info('receive.Object')",
        "log.info(f'receive.{what}')",
        "log.info(name)",
        "_log.info('receive.ended')",
        "self.logger.warning('receive.ended')",
        "logging.error('receive.ended')",
        "_log = structlog.get_logger(__name__)",
        "log = structlog.get_logger()",
        "def f():\n    log = structlog.get_logger(__name__)",
        "log = logging.getLogger(__name__)",
    ],
)
def test_each_other_way_is_found(source: str) -> None:
    """The test above can fail."""
    assert list(mistakes(Path("node/receive/x.py"), source))


def test_the_way_is_no_mistake() -> None:
    """Neither in a room, nor in a room of a room, nor in a module outside."""
    source = THE_WAY + "\nlog.info('%s.object-refused', status=1)\nmath.log(2)\n"
    for path, room in {
        "node/receive/x.py": "receive",
        "node/dimse/engine/x.py": "dimse",
        "node/items.py": "items",
    }.items():
        assert list(mistakes(Path(path), source % room)) == []

"""The worker: whatever a plugin does becomes a result, an exit code and a log, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from plugins import bundle, worker
from plugins.contract import ResultStatus
from plugins.exchange import read, read_result

HEAD = """\
from plugins.contract import *
import helper

class Author:
    def analyse(self, study, parameters):
"""
BODIES = {
    "findings": 'return Result("findings", helper.text(study, parameters), (Finding(Code("1", "SCT", "X"), True),))',
    "not applicable": 'raise NotApplicableError("No lungs on these images.")',
    "no reason": "raise NotApplicableError()",
    "exception": 'raise ValueError("Hong^Gildong 1960-02-29")',
    "exit": "raise SystemExit(3)",
    "wrong type": "return 5",
    "none": "pass",
    "contract": 'return Result("findings", "x")',
    "not finite": 'return Measurement(Code("1", "SCT", "Size"), float("nan"), Unit("mm", "mm"))',
    "not json": 'return Result("failed", "x" + chr(0xD800))',
    "changes folder": 'import os; os.chdir("/"); return Result("failed", "elsewhere")',
}


@pytest.fixture
def author(job, tmp_path):
    """Writes a plugin whose `analyse` has the given body; returns the job's folder and request."""
    folder, request = job
    home = tmp_path / "plugin"
    home.mkdir()
    (home / "helper.py").write_text("def text(study, parameters):\n    return f'{len(study.series)} {parameters}'\n")

    def write(body: str):
        (home / "author.py").write_text(HEAD + f"        {body}\n")
        return folder, request

    return write


def start(folder: Path, tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The worker as the node starts it: another working folder, nothing but the zip on the path."""
    archive = bundle.write(tmp_path / "plugins.zip")
    environment = {**os.environ, "PYTHONPATH": str(archive)}
    return subprocess.run(
        [sys.executable, "-P", "-m", "plugins.worker", *(arguments or (str(folder),))],
        cwd="/",
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


STOPPED = "The analysis program stopped because of an error. Nothing can be concluded from this about the images."
DISCARDED = (
    "The analysis program gave an answer that does not hold up to the checks, so it was discarded. "
    "Nothing can be concluded from this about the images."
)
EXPECTED = {
    "findings": ("findings", "2 {'limit': 3.5, 'count': 2, 'kind': 'a', 'on': True}"),
    "not applicable": ("not_applicable", "No lungs on these images."),
    "no reason": ("not_applicable", "These images are not what it is for."),
    "exception": ("failed", STOPPED),
    "exit": ("failed", STOPPED),
    "wrong type": ("failed", DISCARDED),
    "none": ("failed", DISCARDED),
    "contract": ("failed", DISCARDED),
    "not finite": ("failed", DISCARDED),
    "not json": ("failed", DISCARDED),
    "changes folder": ("failed", "elsewhere"),
}
FOR_THE_ADMIN = {
    "exception": "ValueError, author.py line 6",
    "exit": "SystemExit, author.py line 6",
    "wrong type": (
        "it breaks the contract: analyse() returned int, not plugins.contract.Result (author.py line 6, in analyse)"
    ),
    "none": (
        "it breaks the contract: analyse() returned NoneType, not plugins.contract.Result"
        " (author.py line 5, in analyse)"
    ),
    "contract": (
        "it breaks the contract: Result.findings: status is 'findings', but none is present or measured"
        " (author.py line 6)"
    ),
    "not finite": (
        "it breaks the contract: Measurement 'Size'.value: nan is not a finite number; use no_value (author.py line 6)"
    ),
    "not json": (
        "it breaks the contract: Result.summary: holds the character U+D800, which no DICOM text may hold"
        " (author.py line 6)"
    ),
}


@pytest.mark.parametrize("name", BODIES)
def test_every_end_of_a_plugin_is_a_result(author, tmp_path, name):
    """Exit code 0 and a readable result, with a reason for people (fault 71)."""
    folder, request = author(BODIES[name])
    ended = start(folder, tmp_path)
    assert (ended.returncode, ended.stderr) == (worker.EXIT_DONE, "")
    reading = read(folder, request)
    assert (reading.result.status.value, reading.result.summary) == EXPECTED[name]
    assert (reading.error, reading.ignored) == (FOR_THE_ADMIN.get(name, ""), ())


def test_finding_o2_the_line_is_that_of_the_authors_code(author, tmp_path):
    """Raised in a library that the author calls: in Python's own, or in a package installed in the plugin's folder."""
    package = tmp_path / "plugin" / "lib" / "site-packages"
    package.mkdir(parents=True)
    (package / "theirs.py").write_text("def fall():\n    raise KeyError('Hong^Gildong')\n")
    (tmp_path / "plugin" / "parts").mkdir()
    (tmp_path / "plugin" / "parts" / "deep.py").write_text("import json\n\ndef read():\n    json.loads('{')\n")
    library = f"import sys; sys.path.append({str(package)!r}); import theirs; theirs.fall()"
    for body, line in (
        ("from parts import deep; deep.read()", "JSONDecodeError, parts/deep.py line 4"),
        (library, "KeyError, author.py line 6"),
    ):
        folder, request = author(body)
        start(folder, tmp_path)
        reading = read(folder, request)
        assert (reading.result.summary, reading.error) == (STOPPED, line)


def test_finding_o2_the_line_where_native_code_crashed_is_printed(author, tmp_path):
    """No result and no traceback: what the process prints at its end, which the node keeps, names file and line."""
    folder, _ = author("import ctypes; ctypes.string_at(0)")
    ended = start(folder, tmp_path)
    assert ended.returncode < 0
    assert 'author.py", line 6 in analyse' in ended.stderr


def test_traceback_is_in_the_log_and_the_message_nowhere_else(author, tmp_path):
    """What an exception says may name a patient: people are shown the kind and the line only."""
    folder, _ = author(BODIES["exception"])
    start(folder, tmp_path)
    assert "Hong" not in (folder / "out" / "result.json").read_text()
    assert "Hong" not in (folder / "out" / "error.txt").read_text()
    log = (folder / "out" / "worker.log").read_text()
    assert "ValueError: Hong^Gildong" in log
    assert "author.py" in log


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import no_such_module\n", "ModuleNotFoundError: no module named 'no_such_module', author.py line 1"),
        ("pass\ndef broken(:\n", "SyntaxError, author.py line 2"),
        ("class Other: pass\n", "author has no class 'Author'"),
        ("class Author: pass\n", "Author has no method analyse"),
        ("class Author:\n    def __init__(self):\n        raise MemoryError\n", "MemoryError, author.py line 3"),
    ],
)
def test_plugin_that_does_not_load_is_a_failure_with_its_reason(author, tmp_path, source, reason):
    """A missing package or class is said plainly."""
    folder, request = author("pass")
    (tmp_path / "plugin" / "author.py").write_text(source)
    assert start(folder, tmp_path).returncode == worker.EXIT_DONE
    reading = read(folder, request)
    assert reading.result.status is ResultStatus.FAILED
    assert reading.result.summary in (STOPPED, DISCARDED)
    assert reason in reading.error


def test_plugins_folder_of_a_vendor_does_not_get_in_the_way(author, tmp_path):
    """A vendor's own `plugins` package beside its code, or in the working folder, is not the node's."""
    folder, request = author('return Result("failed", "mine")')
    (tmp_path / "plugin" / "plugins").mkdir()
    (tmp_path / "plugin" / "plugins" / "__init__.py").write_text("raise RuntimeError('theirs')\n")
    assert start(folder, tmp_path).returncode == worker.EXIT_DONE
    assert read_result(folder, request).summary == "mine"


def test_standard_output_is_the_plugins_own(author, tmp_path):
    """What a plugin prints comes out as it is and does not touch the result."""
    folder, _ = author('print("{}"); return Result("failed", "x")')
    assert start(folder, tmp_path).stdout == "{}\n"


def test_bad_request_writes_nothing(author, tmp_path):
    """A request that is not one is the node's mistake: exit code 2 and a reason."""
    folder, _ = author("pass")
    (folder / "request.json").write_text("{}")
    ended = start(folder, tmp_path)
    assert ended.returncode == worker.EXIT_REQUEST
    assert "request.json: $.schema" in ended.stderr
    assert not (folder / "out" / "result.json").exists()
    assert start(folder, tmp_path, "one", "two").returncode == worker.EXIT_REQUEST


def test_result_that_cannot_be_written(author, tmp_path):
    """No place for the result is exit code 75: it may be there later."""
    folder, _ = author('return Result("failed", "x")')
    (folder / "out" / "result.json").mkdir()
    assert start(folder, tmp_path).returncode == worker.EXIT_AGAIN


def test_a_plugin_that_asks_to_be_tried_again(author, tmp_path):
    """RetryableError is exit code 75 without a result; why is in the log."""
    folder, _ = author('raise RetryableError("the card is taken")')
    assert start(folder, tmp_path).returncode == 75
    assert not (folder / "out" / "result.json").exists()
    assert "RetryableError: the card is taken" in (folder / "out" / "worker.log").read_text()


def test_bundle_is_the_same_every_time(tmp_path):
    """The zip depends on the sources alone, and holds no tests and no caches."""
    one, two = bundle.write(tmp_path / "a.zip"), bundle.write(tmp_path / "b.zip")
    assert one.read_bytes() == two.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "b.zip"]


RETURNS = {
    "its only return": ("def f():\n    x = 1\n    return {\n        1: 2}\n", 3),
    "several": ("def f(x):\n    if x:\n        return 1\n    return 2\n", 1),
    "one, and the end": ("def f(x):\n    if x:\n        return 1\n", 1),
    "a generator": ("def f():\n    yield 1\n", 1),
    "a coroutine": ("async def f():\n    return 1\n", 1),
}


@pytest.mark.parametrize("name", RETURNS)
def test_the_line_of_a_wrong_return_is_never_that_of_another(name):
    """Where it is not certain which `return` it was, the line is that of the function."""
    source, line = RETURNS[name]
    made: dict[str, Any] = {}
    exec(source, made)
    assert worker.only_return(made["f"].__code__) == line


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ModuleNotFoundError("x", name="torch.nn"), "ModuleNotFoundError: no module named 'torch.nn', author.py"),
        (ImportError("x", name="torch"), "ImportError: from module 'torch', author.py"),
        (ModuleNotFoundError("x", name="Hong^Gildong"), "ModuleNotFoundError, author.py"),
        (ModuleNotFoundError("Hong"), "ModuleNotFoundError, author.py"),
    ],
)
def test_a_module_is_named_and_nothing_else_that_an_exception_says(author, tmp_path, error, told):
    """What looks like no name of a module could be a patient's."""
    body = f"raise {type(error).__name__}({error.args[0]!r}, name={error.name!r})"
    folder, request = author(body)
    start(folder, tmp_path)
    assert read(folder, request).error.startswith(told)


def test_a_plugin_that_forks_answers_once(author, tmp_path):
    """The copy of the process goes on with the plugin's code and ends there: what is written is the first one's."""
    folder, request = author('import os; os.fork(); return Result("not_applicable", str(os.getpid()))')
    ended = start(folder, tmp_path)
    assert (ended.returncode, ended.stderr) == (worker.EXIT_DONE, "")
    reading = read(folder, request)
    assert (reading.result.status, reading.ignored) == (ResultStatus.NOT_APPLICABLE, ())

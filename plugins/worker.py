"""What runs in the process of a Python plugin: `python -P -m plugins.worker FOLDER`.

It reads FOLDER/request.json, imports the plugin's class and makes it, calls `analyse` and writes
FOLDER/out/result.json (`plugins.exchange`). With `--orders DESCRIPTOR` before FOLDER it does so for one job after the
other, each of which lies in FOLDER in its turn, and makes the plugin once. The descriptor is a socket of whole
messages: `loaded` is sent when the plugin is made, then `job` is received and answered with a JSON object, the exit
code (`code`) and why this process should do no further job (`leaves`, or ""), until the socket is closed. Between two
jobs the process is as it was before the first (`plugins.process_state`).

Standard output and error belong to the plugin. Whatever
happens inside the plugin becomes a result: images that it is not for `not_applicable`, an exception
`failed`; but for a RetryableError, which becomes an exit code. Readers see plain words. For the admin, the line of the
plugin's code is in out/error.txt, and the traceback in out/worker.log; where native code kills the process, the Python
stack is on standard error.

Exit codes: 0, result.json is there, whatever its status · 2, the command line or request.json is
wrong and nothing was written · 75 (EX_TEMPFAIL), the plugin asks to be tried again, or the result could not be written
(a full disk, say). Any other end, a signal for one, means that the process died.
"""

from __future__ import annotations

import dis
import faulthandler
import gc
import inspect
import json
import os
import re
import socket
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import CodeType

from plugins import exchange, leftovers, stack_signal
from plugins.adapters import entry as entries
from plugins.contract import ContractError, NotApplicableError, Plugin, Result, ResultStatus, RetryableError
from plugins.exchange import Request
from plugins.onnx_session import ModelError
from plugins.process_state import ProcessState
from plugins.untrusted import ExchangeError

EXIT_DONE = 0
EXIT_REQUEST = 2
EXIT_AGAIN = os.EX_TEMPFAIL
_LONGEST_ORDER = 64
_STOPPED = "The analysis program stopped because of an error."
_REFUSED = "The analysis program gave an answer that does not hold up to the checks, so it was discarded."
_MEANING = "Nothing can be concluded from this about the images."


def main(arguments: list[str]) -> int:
    """Run one job, or one after the other; returns the exit code."""
    faulthandler.enable()
    stack_signal.enable()
    match arguments:
        case [folder]:
            return _do(Path(folder).resolve(), entries.load)[0]
        case ["--orders", descriptor, folder]:
            return serve(socket.socket(fileno=int(descriptor)), Path(folder).resolve())
    print("usage: python -P -m plugins.worker [--orders DESCRIPTOR] FOLDER", file=sys.stderr)  # noqa: T201 - its answer
    return EXIT_REQUEST


def serve(orders: socket.socket, folder: Path) -> int:
    """Do the jobs that lie in a folder, one after the other, as they are ordered; returns the exit code."""
    os.set_inheritable(orders.fileno(), False)
    plugin = LoadedPlugin()
    plugin.prepare(folder)
    gc.collect()
    gc.freeze()  # what is loaded need not be looked through after each job
    before, code = ProcessState(), EXIT_DONE
    try:
        orders.send(b"loaded")
        while orders.recv(_LONGEST_ORDER):
            code, leaves = _do(folder, plugin.load)
            leaves = before.restore() or leaves
            orders.send(json.dumps({"code": code, "leaves": leaves}).encode())
    except OSError:  # the plugin has closed what it was not given: this job is the last one
        return code
    return EXIT_DONE


class LoadedPlugin:
    """The plugin of a process, made once."""

    def __init__(self) -> None:
        self._plugin: Plugin | None = None
        self._error: BaseException | None = None

    def prepare(self, folder: Path) -> None:
        """Make the plugin that the job in this folder asks for. What goes wrong is raised by `load`."""
        try:
            request = exchange.read_request(folder)
            self._plugin = entries.load(Path(request.plugin.folder), request.plugin.entry)
        except BaseException as error:  # noqa: BLE001 - it becomes the result of the job
            self._error = error

    def load(self, _home: Path, _entry: str) -> Plugin:
        """The plugin; raises what was raised when it was made."""
        if self._plugin is None:
            assert self._error is not None
            raise self._error
        return self._plugin


def _do(folder: Path, load: Callable[[Path, str], Plugin]) -> tuple[int, str]:
    """Do one job; returns the exit code, and why the process should not do another one, or ""."""
    try:
        request = exchange.read_request(folder)
    except ExchangeError as error:
        print(error, file=sys.stderr)  # noqa: T201 - nothing was started, so there is no result to say it in
        return EXIT_REQUEST, "its request cannot be read"
    try:
        result = run(folder, request, load)
        _note_leftovers(folder)
        status = _write(folder, result)
    except RetryableError:
        return EXIT_AGAIN, "it asks to be tried again"
    except OSError as error:
        print(f"the result could not be written: {error}", file=sys.stderr)  # noqa: T201 - no other place is left
        return EXIT_AGAIN, exchange.NOT_WRITTEN
    return EXIT_DONE, "its job failed" if status is ResultStatus.FAILED else ""


def run(folder: Path, request: Request, load: Callable[[Path, str], Plugin]) -> Result:
    """Get the plugin, ask it, and make a result of whatever happens; raises RetryableError."""
    home, process = Path(request.plugin.folder), os.getpid()
    try:
        plugin = load(home, request.plugin.entry)
        try:
            result = plugin.analyse(request.open(folder), request.parameters)
        finally:
            if os.getpid() != process:  # it has forked, and this is the copy: one process answers
                os._exit(0)
        if not isinstance(result, Result):
            raise ContractError(_no_result(plugin, result, home))
    except NotApplicableError as reason:
        return Result(ResultStatus.NOT_APPLICABLE, _shortened(str(reason) or "These images are not what it is for."))
    except RetryableError:
        _log(folder)
        raise
    except ModelError as error:
        return _failed(folder, _STOPPED, str(error))
    except ContractError as error:
        where = author_line(error, home)
        return _failed(folder, _REFUSED, f"it breaks the contract: {error}{f' ({where})' if where else ''}")
    except BaseException as error:  # noqa: BLE001 - the plugin's code may raise anything; all of it is reported
        where = author_line(error, home) or author_line(error, Path("/"))
        what = f"{type(error).__name__}{_module_of(error)}"
        return _failed(folder, _STOPPED, f"{what}, {where}" if where else what)
    return result


def _no_result(plugin: Plugin, returned: object, home: Path) -> str:
    """That `analyse` returned something else, and where: at its only `return`, else where the function begins."""
    code = getattr(inspect.unwrap(plugin.analyse), "__code__", None)
    where = ""
    if code is not None and Path(code.co_filename).is_relative_to(home):
        line = code.co_firstlineno if returned is None else only_return(code)
        where = f" ({Path(code.co_filename).relative_to(home)} line {line}, in {code.co_name})"
    return f"analyse() returned {type(returned).__name__}, not plugins.contract.Result{where}"


def only_return(code: CodeType) -> int:
    """The line of a function's only `return`, else its first line: of several, of a generator, of a coroutine."""
    lines = [starts for instruction, starts in _with_lines(code) if instruction.opname == "RETURN_VALUE"]
    is_plain = not code.co_flags & (inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR)
    return lines[0] if is_plain and len(set(lines)) == 1 else code.co_firstlineno


def _with_lines(code: CodeType) -> Iterator[tuple[dis.Instruction, int]]:
    line = code.co_firstlineno
    for instruction in dis.get_instructions(code):
        line = instruction.starts_line or line
        yield instruction, line


def _module_of(error: BaseException) -> str:
    """`: no module named 'torch'`; a name is of somebody's code, and nothing else that an exception says is shown."""
    name = error.name if isinstance(error, ImportError) else None
    if not name or not re.fullmatch(r"[A-Za-z_][\w.]{0,99}", name, re.ASCII):
        return ""
    return f": no module named '{name}'" if isinstance(error, ModuleNotFoundError) else f": from module '{name}'"


def _note_leftovers(folder: Path) -> None:
    left = leftovers.names()
    if left:
        with suppress(OSError), (folder / exchange.OUT / exchange.LOG).open("a", encoding="utf-8") as file:
            file.write(f"{leftovers.NOTE}{', '.join(left)}\n")


def _write(folder: Path, result: Result) -> ResultStatus:
    """Write a result, or one that says that it cannot be written; returns the status of what was."""
    try:
        exchange.write_result(folder, result)
    except (ValueError, TypeError):
        reason = "its result cannot be written as JSON: it holds a text or number that JSON has no form for"
        result = _failed(folder, _REFUSED, reason)
        exchange.write_result(folder, result)
    return result.status


def _failed(folder: Path, words: str, reason: str) -> Result:
    """The result of the exception that is being handled: `words` for readers, `reason` and traceback for the admin."""
    out = folder / exchange.OUT
    line = reason.replace("\n", " ").encode(errors="backslashreplace")
    (out / exchange.ERROR).write_bytes(line + b"\n")
    _log(folder)
    return Result(ResultStatus.FAILED, f"{words} {_MEANING}")


def _log(folder: Path) -> None:
    """The traceback of the exception that is being handled, for the admin."""
    path = folder / exchange.OUT / exchange.LOG
    with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
        file.write(traceback.format_exc())


def author_line(error: BaseException, home: Path) -> str:
    """The file and line in the folder `home` that an exception came from; "" where it came from elsewhere.

    Packages that are installed in a plugin's folder are others' code. What the exception says stays in the log: it may
    hold a patient's data.
    """
    lines = [(Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename:
        lines.append((Path(error.filename), error.lineno))
    own = [
        each
        for each in lines
        if each[0].is_relative_to(home) and "site-packages" not in each[0].relative_to(home).parts
    ]
    return f"{own[-1][0].relative_to(home)} line {own[-1][1]}" if own else ""


def _shortened(text: str) -> str:
    return text if len(text) <= 1024 else f"{text[:1023]}…"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

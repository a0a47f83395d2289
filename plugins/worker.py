"""What runs in the process of a Python plugin: `python -P -m plugins.worker FOLDER`.

It reads FOLDER/request.json, imports the plugin's class, calls `analyse` and writes
FOLDER/out/result.json (`plugins.exchange`). Standard output and error belong to the plugin. Whatever
happens inside the plugin becomes a result: images that it is not for `not_applicable`, an exception
`failed` with the traceback in out/worker.log.

Exit codes: 0, result.json is there, whatever its status · 2, the command line or request.json is
wrong and nothing was written · 3, the result could not be written (a full disk, say). Any other end,
a signal for one, means that the process died.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

from plugins import exchange
from plugins.adapters import python
from plugins.contract import ContractError, NotApplicableError, Result, ResultStatus
from plugins.exchange import Request
from plugins.untrusted import ExchangeError

EXIT_DONE = 0
EXIT_REQUEST = 2
EXIT_RESULT = 3


def main(arguments: list[str]) -> int:
    """Run one job; returns the exit code."""
    if len(arguments) != 1:
        print("usage: python -P -m plugins.worker FOLDER", file=sys.stderr)  # noqa: T201 - a command's own answer
        return EXIT_REQUEST
    folder = Path(arguments[0]).resolve()
    try:
        request = exchange.read_request(folder)
    except ExchangeError as error:
        print(error, file=sys.stderr)  # noqa: T201 - nothing was started, so there is no result to say it in
        return EXIT_REQUEST
    result = run(folder, request)
    try:
        _write(folder, result)
    except OSError as error:
        print(f"the result could not be written: {error}", file=sys.stderr)  # noqa: T201 - no other place is left
        return EXIT_RESULT
    return EXIT_DONE


def run(folder: Path, request: Request) -> Result:
    """Import the plugin, ask it, and make a result of whatever happens."""
    try:
        plugin = python.load(Path(request.plugin.folder), request.plugin.entry)
        result = plugin.analyse(request.open(folder), request.parameters)
        if not isinstance(result, Result):
            raise ContractError(f"analyse() returned {type(result).__name__}, not plugins.contract.Result")
    except NotApplicableError as reason:
        return Result(ResultStatus.NOT_APPLICABLE, _shortened(str(reason) or "These images are not what it is for."))
    except ContractError as error:
        _log(folder)
        return _failed(f"The result of {request.plugin.name} breaks the contract: {error}")
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the plugin's code may raise anything; all of it is reported
        _log(folder)
        return _failed(f"{request.plugin.name} stopped with an error ({_place(error)}).")
    return result


def _write(folder: Path, result: Result) -> None:
    try:
        exchange.write_result(folder, result)
    except (ValueError, TypeError) as error:  # a text or number that JSON cannot hold
        _log(folder)
        exchange.write_result(folder, _failed(f"The result could not be written as JSON ({type(error).__name__})."))


def _failed(reason: str) -> Result:
    return Result(ResultStatus.FAILED, _shortened(reason))


def _place(error: BaseException) -> str:
    """Kind of the error and the line it came from; its message stays in the log: it may hold a patient's data."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f", {Path(frames[-1].filename).name} line {frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}"


def _shortened(text: str) -> str:
    return text if len(text) <= 1024 else f"{text[:1023]}…"


def _log(folder: Path) -> None:
    """Append the traceback of the exception being handled to out/worker.log."""
    with (folder / exchange.OUT / exchange.LOG).open("a", encoding="utf-8", errors="backslashreplace") as file:
        file.write(traceback.format_exc())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

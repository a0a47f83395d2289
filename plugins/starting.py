"""Whether a Python plugin can start here: `python -P -m plugins.starting FOLDER`, in the place of `plugins.worker`.

It imports the plugin's class, makes it, and looks for the decoders of compressed images that `Series.volume()` needs.
No images are there. Exit codes: 0, it starts · 1, it does not, and out/error.txt says why in one line.
"""

from __future__ import annotations

import sys
from pathlib import Path

from plugins import exchange, stack_signal
from plugins.adapters import entry as entries
from plugins.onnx_session import ModelError
from plugins.worker import author_line

_DECODERS = {
    "1.2.840.10008.1.2.4.50": ("JPEG Baseline", "python-gdcm"),
    "1.2.840.10008.1.2.4.51": ("JPEG Extended", "python-gdcm"),
    "1.2.840.10008.1.2.4.70": ("JPEG Lossless", "python-gdcm"),
    "1.2.840.10008.1.2.4.80": ("JPEG-LS", "pyjpegls"),
    "1.2.840.10008.1.2.4.90": ("JPEG 2000", "pylibjpeg pylibjpeg-openjpeg"),
}
"""Transfer syntax that modalities and archives send (PS3.5 section 10) → its name, and the packages that decode it."""


def main(arguments: list[str]) -> int:
    """Try it; returns the exit code."""
    stack_signal.enable()
    folder = Path(arguments[0]).resolve()
    request = exchange.read_request(folder)
    problem = problem_of(Path(request.plugin.folder), request.plugin.entry)
    if problem:
        line = problem.replace("\n", " ").encode(errors="backslashreplace")
        (folder / exchange.OUT / exchange.ERROR).write_bytes(line + b"\n")
    return 1 if problem else 0


def problem_of(home: Path, entry: str) -> str:
    """Why the plugin cannot start, in one line; empty where it can."""
    try:
        entries.load(home, entry)
    except ModelError as error:
        return str(error)
    except BaseException as error:  # noqa: BLE001 - the plugin's code may raise anything; all of it is reported
        where = author_line(error, home)
        return f"{type(error).__name__}: {error}{f' ({where})' if where else ''}"
    return _undecodable()


def _undecodable() -> str:
    """The compressed images that this interpreter cannot decode; empty where it has no pydicom, so reads none."""
    try:
        from pydicom.pixels.decoders.base import get_decoder
    except ImportError:
        return ""
    lacking = [told for syntax, told in _DECODERS.items() if not get_decoder(syntax).is_available]
    if not lacking:
        return ""
    names = ", ".join(name for name, _ in lacking)
    packages = " ".join(dict.fromkeys(word for _, packages in lacking for word in packages.split()))
    return f"its interpreter cannot decode {names}: install {packages} for it"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

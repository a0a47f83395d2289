"""Programs of other makers that tests talk to, and what is said when one is missing.

A test that needs one calls `require_peer`; the helpers here, in `orthanc` and in `validators` do it themselves. Where
the peer is missing the test is skipped and the end of the run says which and why; with CI=true it fails instead.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

import pytest

from tests.support.programs import podman

PIXELMED_JAR = Path("/usr/share/java/pixelmed.jar")
ORTHANC_PLUGINS = Path("/usr/share/orthanc/plugins")
LANGUAGE_SERVER = Path(__file__).parents[2] / "peers/editor/node_modules/yaml-language-server/bin/yaml-language-server"
VIEWERS = Path(__file__).resolve().parents[2] / "viewer"
"""Where .ci/viewer puts OHIF and what comes from npm."""


def find_program(name: str) -> str | None:
    """Return the path of a system program; never of this environment, where pynetdicom has a `storescu` of its own."""
    own = {Path(sys.prefix, "bin").resolve(), Path(sys.executable).parent.resolve()}
    folders = [*os.environ.get("PATH", os.defpath).split(os.pathsep), "/usr/bin", "/usr/sbin"]
    return shutil.which(name, path=os.pathsep.join(f for f in folders if f and Path(f).resolve() not in own))


def _lacks_programs(*names: str) -> Callable[[], str]:
    def probe() -> str:
        absent = [name for name in names if find_program(name) is None]
        return f"no {', '.join(absent)}" if absent else ""

    return probe


def _lacks_dcmtk() -> str:
    program = find_program("storescu")
    if program is None:
        return "no storescu"
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    return "" if "dcmtk" in version else f"{program} is not dcmtk's"


def _lacks_dicomweb() -> str:
    plugin = ORTHANC_PLUGINS / "libOrthancDicomWeb.so"
    return _lacks_programs("Orthanc")() or ("" if plugin.exists() else f"no {plugin}")


def _lacks_pixelmed() -> str:
    return _lacks_programs("java")() or ("" if PIXELMED_JAR.exists() else f"no {PIXELMED_JAR}")


def _lacks_bubblewrap() -> str:
    program = find_program("bwrap")
    if program is None:
        return "no bwrap"
    done = subprocess.run(
        [program, "--ro-bind", "/", "/", "--unshare-pid", "--unshare-net", "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if done.returncode == 0 else f"it does not run here: {done.stderr.strip()}"


def _lacks_strace() -> str:
    if find_program("strace") is None:
        return "no strace"
    done = subprocess.run(
        [str(find_program("strace")), "-qq", "-o", os.devnull, "true"], capture_output=True, text=True, check=False
    )
    return "" if done.returncode == 0 else f"it may not trace here: {done.stderr.strip()}"


def _lacks_language_server() -> str:
    lack = _lacks_programs("node")()
    return lack or ("" if LANGUAGE_SERVER.exists() else "not installed below tests/peers/editor; `.ci/editor` does it")


def _lacks_viewers(*parts: str) -> Callable[[], str]:
    def probe() -> str:
        absent = [part for part in parts if not (VIEWERS / part).exists()]
        return _lacks_programs("node")() or (f"no {', '.join(absent)} in tests/viewer" if absent else "")

    return probe


# peer → Debian packages, and a probe that says what is lacking
PEERS: Mapping[str, tuple[str, Callable[[], str]]] = {
    "dcmtk": ("dcmtk", _lacks_dcmtk),
    "orthanc": ("orthanc", _lacks_programs("Orthanc")),
    "orthanc-dicomweb": ("orthanc orthanc-dicomweb", _lacks_dicomweb),
    "odil": ("odil", _lacks_programs("odil")),
    "dicom3tools": ("dicom3tools", _lacks_programs("dciodvfy", "dcentvfy", "dcsrdump")),
    "plastimatch": ("plastimatch", _lacks_programs("plastimatch")),
    "pixelmed": ("libpixelmed-java default-jre-headless", _lacks_pixelmed),
    "bubblewrap": ("bubblewrap", _lacks_bubblewrap),
    "minisign": ("minisign", _lacks_programs("minisign")),
    "strace": ("strace", _lacks_strace),
    "podman": ("podman runc busybox-static", podman.lack),
    "debootstrap": ("debootstrap", _lacks_programs("debootstrap")),
    "yaml-language-server": ("nodejs npm", _lacks_language_server),
    # these two by .ci/viewer, which `make viewer` runs
    "ohif": (
        "chromium nodejs npm",
        lambda: (
            _lacks_programs("chromium")()
            or _lacks_viewers("node_modules/.ohif/version", "node_modules/playwright-core")()
        ),
    ),
    "cornerstone": ("nodejs npm", _lacks_viewers("node_modules/@cornerstonejs/adapters")),
}


@cache
def _lacks(name: str) -> str:
    return PEERS[name][1]()


def require_peer(name: str) -> None:
    """Skip the running test where the peer (a key of `PEERS`) is missing or unusable; with CI=true fail it."""
    lack = _lacks(name)
    if not lack:
        return
    reason = f"peer missing: {name} ({lack}; Debian: {PEERS[name][0]})"
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(f"{reason}; CI=true allows no test without its peer", pytrace=False)
    pytest.skip(reason)


def program(peer: str, name: str) -> str:
    """Return the path of a program that belongs to a peer: `program("dicom3tools", "dcentvfy")`."""
    require_peer(peer)
    path = find_program(name)
    assert path is not None, f"{peer} is installed without {name}"
    return path


def dcmtk(name: str) -> str:
    """Return the path of one of dcmtk's programs: `dcmtk("findscu")`."""
    return program("dcmtk", name)


PATIENT = ("-ta", "240")
"""Seconds for the answer to an association request: dcmtk's own 30 are too few on a busy machine."""


def storescu(
    port: int,
    paths: Sequence[Path],
    called: str,
    calling: str = "MODALITY",
    options: Sequence[str] = ("-R",),
) -> subprocess.CompletedProcess[str]:
    """Send files, or all files below folders, to 127.0.0.1:`port` by dcmtk's storescu and return how that ended.

    `-R` proposes only the SOP classes that the files need; without it many a class gets no presentation context.
    Compressed files need their transfer syntax proposed as well (-xs JPEG lossless, -xt JPEG-LS lossless, -xv JPEG 2000
    lossless, -xr RLE …). The caller asserts on `returncode`, `stdout` and `stderr`.
    """
    return _sent([dcmtk("storescu"), *PATIENT, *options, "+sd", "+r"], port, paths, called, calling)


def dcmsend(port: int, paths: Sequence[Path], called: str, calling: str) -> subprocess.CompletedProcess[str]:
    """Send files as they are, each in its own transfer syntax, by dcmtk's dcmsend; return how that ended."""
    return _sent([dcmtk("dcmsend"), *PATIENT, "-dn"], port, paths, called, calling)


def _sent(
    command: Sequence[str], port: int, paths: Sequence[Path], called: str, calling: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command, "-aet", calling, "-aec", called, "127.0.0.1", str(port), *map(str, paths)],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=300,
        env={**os.environ, "TCP_NODELAY": "1"},
        check=False,
    )

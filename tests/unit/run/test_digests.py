"""What runs, digested: what counts, what does not, and what is read again."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from node.results.uids import device_uid
from node.run import digests, file_digests
from node.run.digests import CodeDigests, TooManyFilesError
from node.run.file_digests import FileDigests
from plugins import bundle, manifest
from plugins.manifest import Manifest

PYTHON = """
schema = 1
outputs = ["findings"]
[identity]
name = "Nodules"
version = "2.1"
manufacturer = "Vendor"
intended_use = "Finds nodules."
weights = ["weights/*.bin"]
[runtime]
kind = "python"
entry = "main:Finder"
[[concepts]]
value = "1"
scheme = "99TEST"
meaning = "Thing"
"""
COMMAND = PYTHON.replace('kind = "python"\nentry = "main:Finder"', 'kind = "command"\ncommand = ["PROGRAM"]')


@pytest.fixture
def plugin(tmp_path: Path) -> Manifest:
    return made(tmp_path / "nodules", PYTHON)


def made(folder: Path, text: str) -> Manifest:
    (folder / "weights").mkdir(parents=True)
    (folder / "plugin.toml").write_text(text)
    (folder / "main.py").write_text("THRESHOLD = 1\n")
    (folder / "weights" / "a.bin").write_bytes(b"weights")
    return manifest.load(folder)


def device(plugin: Manifest) -> str:
    """The Device UID of what runs now."""
    code = CodeDigests().of(plugin)
    return device_uid(plugin.identity.as_it_ran(code.weights, code.software))


def _retrain(folder: Path) -> None:
    (folder / "weights" / "a.bin").write_bytes(b"WEIGHTS")


def _mend(folder: Path) -> None:
    (folder / "main.py").write_text("THRESHOLD = 2\n")


def _add(folder: Path) -> None:
    (folder / "table.csv").write_text("1,2\n")


def _rename(folder: Path) -> None:
    (folder / "weights" / "a.bin").rename(folder / "weights" / "b.bin")


def _link(folder: Path) -> None:
    (folder.parent / "elsewhere").mkdir()
    (folder.parent / "elsewhere" / "more.py").write_text("")
    (folder / "more").symlink_to(folder.parent / "elsewhere")


@pytest.mark.parametrize("change", [_retrain, _mend, _add, _rename, _link])
def test_fault_104_finding_v9_what_is_replaced_is_another_device(
    plugin: Manifest, change: Callable[[Path], None]
) -> None:
    """Weights or code are replaced and plugin.toml is not touched: Device UID and digest are others."""
    before, uid = CodeDigests().of(plugin), device(plugin)
    assert device(plugin) == uid
    change(plugin.folder)
    after = CodeDigests().of(plugin)
    assert before != after
    assert before.changed(after).startswith("file ")
    assert device(plugin) != uid


def test_what_does_not_run_does_not_count(plugin: Manifest) -> None:
    """Bytecode, version control and examples come and go: the same device; so is a copy of the folder."""
    before = CodeDigests().of(plugin)
    for name in ("__pycache__", ".git", "examples"):
        (plugin.folder / name).mkdir()
        (plugin.folder / name / "file").write_text("anything")
    (plugin.folder / "back").symlink_to(plugin.folder)
    after = CodeDigests().of(plugin)
    assert (before, before.changed(after)) == (after, "")
    (plugin.folder / "back").unlink()
    plugin.folder.rename(plugin.folder.with_name("elsewhere"))
    assert CodeDigests().of(manifest.load(plugin.folder.with_name("elsewhere"))).software == before.software


def test_what_is_no_file_costs_no_job(plugin: Manifest) -> None:
    """A link to itself, one to nothing, a pipe: there is a digest, and it is another one than without them."""
    before = CodeDigests().of(plugin)
    (plugin.folder / "itself").symlink_to("itself")
    (plugin.folder / "nothing").symlink_to("nowhere")
    os.mkfifo(plugin.folder / "pipe")
    after = CodeDigests().of(plugin)
    assert before.changed(after) == "file itself"
    assert [after.parts[f"file {name}"] for name in ("itself", "nothing", "pipe")] == ["not a file"] * 3


def test_a_file_called_as_something_else_that_counts_does_not_hide_it(plugin: Manifest) -> None:
    """Files with the names of the other parts are parts of their own."""
    for name in ("contract", "exchange", "interpreter", "driver"):
        (plugin.folder / name).write_text("1")
        before = CodeDigests().of(plugin)
        (plugin.folder / name).write_text("2")
        assert before.changed(CodeDigests().of(plugin)) == f"file {name}"


def test_a_program_elsewhere_counts_and_the_contract_does_not(tmp_path: Path) -> None:
    """A command's program outside the folder is software; a command does not load the contract's code."""
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    plugin = made(tmp_path / "nodules", COMMAND.replace("PROGRAM", str(program)))
    before = CodeDigests().of(plugin)
    program.write_text("#!/bin/bash\n")
    after = CodeDigests().of(plugin)
    assert (before.changed(after), before.software == after.software) == ("program", False)
    assert "contract" not in after.parts


def test_installed_packages_count_by_their_record(tmp_path: Path, plugin: Manifest) -> None:
    """Of an environment in the folder count the records of its packages and the source of an editable one."""
    packages = plugin.folder / "venv" / "lib" / "python3.11" / "site-packages"
    info, source = packages / "net-1.dist-info", tmp_path / "checkout"
    info.mkdir(parents=True)
    source.mkdir()
    (plugin.folder / "venv" / "pyvenv.cfg").touch()
    (info / "RECORD").write_text("net.py,sha256=1,1\n")
    first = CodeDigests().of(plugin)
    assert [name for name in first.parts if name.startswith("file ") and "venv" in name] == []
    (info / "RECORD").write_text("net.py,sha256=2,1\n")
    second = CodeDigests().of(plugin)
    assert first.changed(second) == f"package {info}"
    (info / "direct_url.json").write_text(f'{{"url": "file://{source}", "dir_info": {{"editable": true}}}}')
    (source / "net.py").write_text("1")
    third = CodeDigests().of(plugin)
    assert second.changed(third) == f"source {source}/net.py"
    assert len({first.software, second.software, third.software}) == 3


def test_the_node_and_its_packages_are_no_part_of_the_device(plugin: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another contract moves the whole digest, not the Device UID; the built-in plugins are no part of the contract."""
    before = CodeDigests().of(plugin)
    assert not any("lung_density" in path.parts for path in bundle.contract())
    monkeypatch.setattr(bundle, "contract", lambda: [plugin.folder / "main.py"])
    after = CodeDigests().of(plugin)
    assert before.changed(after) == "contract"
    assert before.software == after.software


def test_a_link_to_everything_ends(plugin: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link out of the folder to more files than any plugin has is named, not followed for hours."""
    monkeypatch.setattr(digests, "MOST_FILES", 200)
    (plugin.folder / "all").symlink_to(Path(manifest.__file__).parents[1])
    with pytest.raises(TooManyFilesError, match="a link leads out of it"):
        CodeDigests().of(plugin)


# --- what is read again ----------------------------------------------------------------------------


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were read; all of them changed long ago."""
    names: list[str] = []
    true = hashlib.file_digest
    now = time.time_ns()

    def reading(file: object, algorithm: str) -> object:
        names.append(os.readlink(f"/proc/self/fd/{file.fileno()}"))  # type: ignore[attr-defined]
        return true(file, algorithm)  # type: ignore[arg-type]

    monkeypatch.setattr(hashlib, "file_digest", reading)
    monkeypatch.setattr(time, "time_ns", lambda: now + 3600 * 10**9)
    return names


def test_a_file_is_read_once_until_it_changes(tmp_path: Path, read: list[str]) -> None:
    """Read at the first look, not at the second; read again where it was rewritten in place with its times restored."""
    path, files = tmp_path / "weights", FileDigests()
    path.write_bytes(b"one")
    status = path.stat()
    first = files.of(path)
    assert (files.of(path), len(read)) == (first, 1)
    path.write_bytes(b"two")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert files.of(path) == hashlib.sha256(b"two").hexdigest()
    assert len(read) == 2


def test_a_file_that_just_changed_is_read_each_time(tmp_path: Path, read: list[str], monkeypatch) -> None:
    """Its times may be coarse: a second change could leave the same."""
    path, files = tmp_path / "weights", FileDigests()
    path.write_bytes(b"one")
    monkeypatch.setattr(time, "time_ns", lambda: path.stat().st_ctime_ns + 10**9)
    assert files.of(path) == files.of(path)
    assert len(read) == 2


def test_what_took_long_outlives_the_process(tmp_path: Path, read: list[str], monkeypatch) -> None:
    """Large files are not read again after a restart, small ones are; a damaged cache costs time alone."""
    monkeypatch.setattr(file_digests, "DEAR", 10)
    large, small = tmp_path / "large", tmp_path / "small"
    large.write_bytes(b"0123456789")
    small.write_bytes(b"0")
    files = FileDigests(tmp_path)
    known = [files.of(large), files.of(small)]
    files.keep()
    again = FileDigests(tmp_path)
    assert ([again.of(large), again.of(small)], len(read)) == (known, 3)
    for damage in (b"", b"\0" * 20, b"[1]", b'{"large": [1]}', b'{"large": [1, 2, 3, "x", 5]}'):
        (tmp_path / file_digests.FILE).write_bytes(damage)
        assert FileDigests(tmp_path).of(large) == known[0]


def test_a_full_disk_costs_only_the_cache(tmp_path: Path, read: list[str], monkeypatch) -> None:
    """Where the cache cannot be written the digests are there all the same, and no part of it is left."""
    monkeypatch.setattr(file_digests, "DEAR", 1)
    (tmp_path / "large").write_bytes(b"0123456789")

    def full(path: Path, content: bytes) -> None:
        path.write_bytes(content[:3])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(file_digests, "write_durably", full)
    files = FileDigests(tmp_path)
    digest = files.of(tmp_path / "large")
    files.keep()
    assert (len(digest), sorted(path.name for path in tmp_path.iterdir())) == (64, ["large"])

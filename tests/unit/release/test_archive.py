"""A bundle is used only as its maker signed it, whatever somebody made of the file."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import minisign
import pytest

from node.errors import PermanentError, UsageError
from node.release import archive, signatures, verifying
from node.release.archive import BundleManifest, BundleMember, member_of
from node.release.releases import Releases

FILES = {"docs/a.md": b"A", "wheels/x.whl": b"wheel" * 1000}
KEYS = minisign.KeyPair.generate()
KEY = KEYS.public_key.to_base64().decode()


def manifest(*more: BundleMember) -> BundleManifest:
    members = [member_of(path, content) for path, content in FILES.items()]
    return BundleManifest("1.0", "3.11", "manylinux_2_28_x86_64", 1, (*members, *more))


def bundle(path: Path, made: BundleManifest, entries: list[tuple[tarfile.TarInfo, bytes]]) -> Path:
    """A signed tar with this manifest and these entries."""
    with tarfile.open(path, "w") as tar:
        for info, content in [(entry(archive.MANIFEST, made.to_json())), *entries]:
            tar.addfile(info, io.BytesIO(content))
    return signed(path)


def signed(path: Path) -> Path:
    with path.open("rb") as file:
        verifying.signature_of(path).write_bytes(bytes(KEYS.secret_key.sign(file)))
    return path


def entry(
    path: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, to: str = ""
) -> tuple[tarfile.TarInfo, bytes]:
    made = tarfile.TarInfo(path)
    made.size, made.type, made.linkname = len(content), kind, to
    return made, content


GOOD = [entry(path, content) for path, content in FILES.items()]
SPARSE = entry("docs/a.md", b"A")
SPARSE[0].pax_headers = {"GNU.sparse.size": str(1 << 50), "GNU.sparse.major": "1"}
HOSTILE = {
    "one more file": ([*GOOD, entry("docs/b.md", b"B")], "without a line in manifest.json"),
    "a file outside, by ..": ([*GOOD, entry("../evil", b"B")], "without a line in manifest.json"),
    "an absolute path": ([*GOOD, entry("/etc/evil", b"B")], "without a line in manifest.json"),
    "a member twice": ([*GOOD, GOOD[0]], "once more"),
    "a member missing": (GOOD[:1], "1 members are missing"),
    "a changed content": ([entry("docs/a.md", b"B"), GOOD[1]], "its content was changed"),
    "a longer content": ([entry("docs/a.md", b"AA"), GOOD[1]], "not the regular file"),
    "a symbolic link": ([entry("docs/a.md", kind=tarfile.SYMTYPE, to="/etc/passwd"), GOOD[1]], "not the regular file"),
    "a hard link": ([entry("docs/a.md", kind=tarfile.LNKTYPE, to="wheels/x.whl"), GOOD[1]], "not the regular file"),
    "a device": ([entry("docs/a.md", kind=tarfile.CHRTYPE), GOOD[1]], "not the regular file"),
    "a folder": ([entry("docs/a.md", kind=tarfile.DIRTYPE), GOOD[1]], "not the regular file"),
    "a file with holes": ([SPARSE, GOOD[1]], "not the regular file|not a bundle|damaged"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_signed_archive_with_another_content_than_its_manifest_is_refused(tmp_path: Path, case: str) -> None:
    """Each by a sentence that says what is wrong; nothing is written outside of the folder it is unpacked into."""
    entries, says = HOSTILE[case]
    made = bundle(tmp_path / "b.bundle", manifest(), entries)
    with pytest.raises(PermanentError, match=says):
        verifying.verify(made, KEY)
    (tmp_path / "into").mkdir()
    with pytest.raises(PermanentError, match=says):
        verifying.unpack(made, KEY, tmp_path / "into")
    assert {each.name for each in tmp_path.iterdir()} == {"b.bundle", "b.bundle.minisig", "into"}


@pytest.mark.parametrize("path", ["../x", "/x", "a/../../x", "", "a//b", ".ssh/x", "a/.", "a\nb", "a\\b", "x" * 500])
def test_a_manifest_that_names_a_path_outside_is_refused(tmp_path: Path, path: str) -> None:
    """A path of the manifest is of plain names only."""
    made = bundle(tmp_path / "b.bundle", manifest(BundleMember(path, 0, "0" * 64)), [*GOOD, entry(path or "x")])
    with pytest.raises(PermanentError, match="not a path inside"):
        verifying.verify(made, KEY)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"no json", "not the manifest"),
        (b"[]", "not the manifest"),
        (b'{"format": 2}', "reads format 1"),
        (b"[" * 9999, "not the manifest"),
    ],
)
def test_a_manifest_of_another_form_is_refused(tmp_path: Path, text: bytes, says: str) -> None:
    """As damaged, or as made by another release."""
    path = tmp_path / "b.bundle"
    with tarfile.open(path, "w") as tar:
        info, content = entry(archive.MANIFEST, text)
        tar.addfile(info, io.BytesIO(content))
    with pytest.raises(PermanentError, match=says):
        verifying.verify(signed(path), KEY)


@pytest.mark.parametrize("content", [b"", b"x" * 5000, b"\0" * 20480])
def test_what_is_not_a_bundle_is_refused(tmp_path: Path, content: bytes) -> None:
    """Even if somebody signed it."""
    (tmp_path / "b.bundle").write_bytes(content)
    with pytest.raises(PermanentError, match=r"not a bundle|does not begin"):
        verifying.verify(signed(tmp_path / "b.bundle"), KEY)


def test_a_flipped_bit_anywhere_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    """The signature is of the whole file."""
    made = bundle(tmp_path / "b.bundle", manifest(), GOOD)
    assert verifying.verify(made, KEY).version == "1.0"
    whole = made.read_bytes()
    for at in (0, 600, len(whole) // 2, len(whole) - 1):
        made.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(PermanentError, match="not a signature of this bundle"):
            verifying.verify(made, KEY)
    made.write_bytes(whole + b"\0")
    with pytest.raises(PermanentError, match="not a signature of this bundle"):
        verifying.verify(made, KEY)


def test_a_signature_that_is_missing_damaged_or_of_another_key_is_refused(tmp_path: Path) -> None:
    """Each is said."""
    made = bundle(tmp_path / "b.bundle", manifest(), GOOD)
    other = minisign.KeyPair.generate().public_key.to_base64().decode()
    with pytest.raises(PermanentError, match="not a signature of this bundle by the key"):
        verifying.verify(made, other)
    verifying.signature_of(made).write_text("no signature")
    with pytest.raises(PermanentError, match="not a signature"):
        verifying.verify(made, KEY)
    verifying.signature_of(made).unlink()
    with pytest.raises(PermanentError, match="signature is missing"):
        verifying.verify(made, KEY)


def test_the_key_is_pinned_by_the_first_installation(tmp_path: Path) -> None:
    """Without a key there is nothing to check by; with one pinned, another is refused."""
    releases = Releases(tmp_path)
    with pytest.raises(UsageError, match="--public-key"):
        releases.pinned_key(None)
    with pytest.raises(UsageError, match="neither a public key"):
        releases.pinned_key("RWnonsense")
    releases.pin(releases.pinned_key(KEY))
    assert releases.pinned_key(None) == KEY
    other = minisign.KeyPair.generate().public_key.to_base64().decode()
    with pytest.raises(PermanentError, match=f"pins {signatures.key_id(KEY)}"):
        releases.pinned_key(other)

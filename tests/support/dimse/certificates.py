"""Certificates that tests make for themselves."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.programs.peers import find_program

SERVER_NAME = "node.hospital.example"
_EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
_AUTHORITY = f"""
[ca]
default_ca=d
[d]
database=index.txt
rand_serial=yes
new_certs_dir=.
default_md=sha256
policy=p
unique_subject=no
[server]
subjectAltName=DNS:{SERVER_NAME}
[issuing]
basicConstraints=critical,CA:TRUE
[p]
organizationName=optional
commonName=supplied
"""


def _openssl(folder: Path, *arguments: str) -> None:
    program = find_program("openssl")
    if program is None:
        pytest.skip("peer missing: openssl (Debian: openssl)")
    subprocess.run([program, *arguments], cwd=folder, check=True, capture_output=True, timeout=60)


def signed_by_itself(folder: Path, name: str, *, file: str | None = None) -> tuple[Path, Path]:
    """A certificate with the common name and host name `name`, and its key: `file`.pem and `file`.key."""
    certificate, key = folder / f"{file or name}.pem", folder / f"{file or name}.key"
    names = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
    places = [*names, "-keyout", str(key), "-out", str(certificate)]
    _openssl(folder, "req", "-x509", *_EC, "-days", "30", *places)
    return certificate, key


def lock(key: Path) -> None:
    """Protect a private key with a passphrase."""
    locked = key.with_suffix(".locked")
    _openssl(key.parent, "pkey", "-in", str(key), "-aes256", "-passout", "pass:secret", "-out", str(locked))
    locked.rename(key)


@dataclass(frozen=True)
class Certificates:
    """A folder of them: `authority`; `server` (for SERVER_NAME), `ct1` and `ct2` by it, of organization Hospital;
    `expired`; `foreign`, by another authority, `stranger`."""

    folder: Path

    @classmethod
    def made_in(cls, folder: Path) -> Certificates:
        """All of them, new, in this folder; the test is skipped where there is no openssl."""
        (folder / "ca.cnf").write_text(_AUTHORITY)
        (folder / "index.txt").touch()
        made = cls(folder)
        signed_by_itself(folder, "authority")
        signed_by_itself(folder, "stranger")
        made.issue("server", extra=["-extensions", "server"])
        made.issue("ct1")
        made.issue("ct2")
        made.issue("expired", extra=["-startdate", "20200101000000Z", "-enddate", "20200201000000Z"])
        made.issue("foreign", by="stranger")
        return made

    def issue(self, name: str, by: str = "authority", extra: Sequence[str] = ()) -> None:
        """Make `name`.pem and `name`.key; `extra` options of `openssl ca`."""
        request, subject = ["-keyout", f"{name}.key", "-out", f"{name}.csr"], f"/O=Hospital/CN={name}"
        _openssl(self.folder, "req", *_EC, *request, "-subj", subject)
        signing = ["-config", "ca.cnf", "-days", "10", "-cert", f"{by}.pem", "-keyfile", f"{by}.key", *extra]
        _openssl(self.folder, "ca", "-batch", *signing, "-in", f"{name}.csr", "-out", f"{name}.pem", "-notext")

    def revoke(self, name: str, by: str = "authority") -> None:
        """The next lists of this authority have it."""
        signing = ["-config", "ca.cnf", "-cert", f"{by}.pem", "-keyfile", f"{by}.key"]
        _openssl(self.folder, "ca", *signing, "-revoke", f"{name}.pem")

    def list_revoked(self, file: Path, by: str = "authority", times: tuple[str, str] | None = None) -> Path:
        """What was revoked until now, in PEM, good for a week or from and until these times."""
        signing = ["-config", "ca.cnf", "-cert", f"{by}.pem", "-keyfile", f"{by}.key"]
        good = ["-crl_lastupdate", times[0], "-crl_nextupdate", times[1]] if times else ["-crldays", "7"]
        part = file.with_name(f".{file.name}.part")
        _openssl(self.folder, "ca", *signing, "-gencrl", *good, "-out", str(part))
        return part.rename(file)

    def as_der(self, listed: Path) -> Path:
        """The same list in DER."""
        encoded = listed.with_suffix(".der")
        _openssl(self.folder, "crl", "-in", str(listed), "-outform", "DER", "-out", str(encoded))
        return encoded

    def pair(self, name: str) -> tuple[Path, Path]:
        """Certificate and key."""
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"

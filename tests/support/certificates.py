"""Certificates that tests make for themselves."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.peers import find_program


def signed_by_itself(folder: Path, name: str, *, file: str | None = None) -> tuple[Path, Path]:
    """A certificate with the common name `name`, and its key: `file`.pem and `file`.key."""
    openssl = find_program("openssl")
    if openssl is None:
        pytest.skip("peer missing: openssl (Debian: openssl)")
    certificate, key = folder / f"{file or name}.pem", folder / f"{file or name}.key"
    made = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"]
    places = ["-subj", f"/CN={name}", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([openssl, *made, *places], check=True, capture_output=True, timeout=60)
    return certificate, key

"""Certificates for tests, made with the openssl command."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Certificate:
    file: Path
    key: Path


class Authority:
    """Signs certificates.

    Args:
        directory: where all of its files are.
        name: of the authority.
    """

    def __init__(self, directory: Path, name: str = "authority") -> None:
        if shutil.which("openssl") is None:
            pytest.skip("the command openssl is not installed")
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self.file = directory / f"{name}.pem"
        self._key = directory / f"{name}.key"
        self._openssl(
            "req",
            "-x509",
            *_new(self._key),
            "-days",
            "10",
            "-subj",
            f"/CN={name}",
            "-out",
            self.file,
        )

    def sign(self, name: str, *, days: int = 10) -> Certificate:
        """A certificate for a host or a client; with negative `days` it has expired."""
        request = self._directory / f"{name}{days}.csr"
        made = Certificate(request.with_suffix(".pem"), request.with_suffix(".key"))
        alternative = f"subjectAltName=DNS:{name}"
        self._openssl(
            "req", *_new(made.key), "-subj", f"/CN={name}", "-addext", alternative, "-out", request
        )
        authority = ("-CA", self.file, "-CAkey", self._key, "-copy_extensions", "copy")
        self._openssl(
            "x509", "-req", "-in", request, *authority, "-days", str(days), "-out", made.file
        )
        return made

    def _openssl(self, *arguments) -> None:
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def _new(key: Path) -> tuple[str, ...]:
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
    return ("-new", *curve, "-nodes", "-keyout", str(key))

"""Orthanc as the PACS: started on free loopback ports, asked over REST, ended by process id."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from tests.support.ports import free_ports
from tests.support.programs.peers import ORTHANC_PLUGINS, program, require_peer
from tests.support.wait import until


class Orthanc:
    """A PACS of its own for one test.

        with Orthanc(tmp_path / "pacs", modalities={"PACSNODE": port}) as pacs:
            storescu(pacs.dicom_port, files, called=pacs.ae_title)
            pacs.find("Study", PatientID="4711")

    `modalities` are the AE titles that Orthanc may send to (C-MOVE, storage commitment) with their ports on 127.0.0.1;
    `options` are further keys of its configuration. `stop()` and `start()` play an outage: ports and content stay.
    """

    def __init__(
        self,
        folder: Path,
        ae_title: str = "PACS",
        modalities: Mapping[str, int] | None = None,
        dicomweb: bool = False,
        options: Mapping[str, object] | None = None,
    ) -> None:
        require_peer("orthanc-dicomweb" if dicomweb else "orthanc")
        self.folder = folder
        self.ae_title = ae_title
        self.dicom_port = 0
        self.http_port = 0
        self._modalities = dict(modalities or {})
        self._dicomweb = dicomweb
        self._options = dict(options or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Root of the REST interface, without a slash at the end; DICOMweb is at `/dicom-web`."""
        return f"http://127.0.0.1:{self.http_port}"

    def start(self) -> Self:
        """Start, and return when the REST interface answers; the first start finds free ports, later ones keep them."""
        chosen_before = self.http_port != 0
        for _ in range(1 if chosen_before else 3):
            if not chosen_before:
                self.dicom_port, self.http_port = free_ports(2)
            self._launch()
            try:
                until(lambda: self._answers() or self._ended(), what="Orthanc's REST interface")
            except BaseException:
                self.stop()
                raise
            if not self._ended():
                return self
        raise AssertionError(f"Orthanc ended at once:\n{self.log()[-2000:]}")

    def stop(self) -> None:
        """End the process, gently first; the stored studies stay in the folder."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout=30)
        self._process = None

    def log(self) -> str:
        """What Orthanc has written so far."""
        return (self.folder / "orthanc.log").read_text(errors="replace")

    def rest(self, path: str) -> Any:
        """GET a path such as `/statistics` and return its JSON."""
        return self._ask("GET", path).json()

    def rest_bytes(self, path: str) -> bytes:
        """GET a path such as `/instances/ID/file` and return its bytes."""
        return self._ask("GET", path).content

    def post(self, path: str, body: object) -> Any:
        """POST JSON to a path and return the JSON of the answer."""
        return self._ask("POST", path, json=body).json()

    def put(self, path: str, body: object) -> None:
        """PUT JSON to a path such as `/modalities/NAME`."""
        self._ask("PUT", path, json=body)

    def delete(self, path: str) -> None:
        """DELETE a path such as `/studies/ID`."""
        self._ask("DELETE", path)

    def find(self, level: str, **query: str) -> list[dict[str, Any]]:
        """Return what Orthanc holds: `find("Study", PatientID="4711")`.

        `level` is Patient, Study, Series or Instance; keys are DICOM keywords. Each answer has `ID` (Orthanc's own,
        for REST paths) and `MainDicomTags`.
        """
        found: list[dict[str, Any]] = self.post("/tools/find", {"Level": level, "Query": query, "Expand": True})
        return found

    def files(self, **query: str) -> list[bytes]:
        """Return the DICOM file of every instance that matches, at instance level: `files(StudyInstanceUID=uid)`."""
        return [self.rest_bytes(f"/instances/{found['ID']}/file") for found in self.find("Instance", **query)]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _launch(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        configuration = self.folder / "orthanc.json"
        configuration.write_text(json.dumps(self._configuration(), indent=2))
        with (self.folder / "orthanc.log").open("ab") as log:
            self._process = subprocess.Popen(
                [program("orthanc", "Orthanc"), str(configuration)], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def _configuration(self) -> dict[str, object]:
        configuration: dict[str, object] = {
            "Name": self.ae_title,
            "StorageDirectory": str(self.folder / "storage"),
            "IndexDirectory": str(self.folder / "storage"),
            "HttpPort": self.http_port,
            "DicomPort": self.dicom_port,
            "DicomAet": self.ae_title,
            "DicomCheckCalledAet": True,
            "DicomModalities": {aet: [aet, "127.0.0.1", port] for aet, port in self._modalities.items()},
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DefaultEncoding": "Utf8",  # with the default, Latin1, Korean names are lost in its answers
            "MaximumPduLength": 131072,
            "ConcurrentJobs": 2,
        }
        if self._dicomweb:
            configuration["Plugins"] = [str(ORTHANC_PLUGINS / "libOrthancDicomWeb.so")]
            configuration["DicomWeb"] = {"Enable": True, "Root": "/dicom-web/"}
        return {**configuration, **self._options}

    def _ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def _answers(self) -> bool:
        try:
            system: dict[str, object] = self._request("GET", "/system", timeout=10).json()
        except (httpx.HTTPError, ValueError):
            return False
        return system.get("DicomPort") == self.dicom_port  # not somebody else's server on that port

    def _ask(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        answer = self._request(method, path, timeout=60, **arguments)
        assert answer.is_success, f"Orthanc answers {answer.status_code} to {method} {path}: {answer.text[:500]}"
        return answer

    def _request(self, method: str, path: str, timeout: float, **arguments: Any) -> httpx.Response:
        """On a connection of its own: Orthanc ends one that rests for a second, also just when it is used again."""
        # a proxy of the environment must not stand before the loopback
        return httpx.request(method, self.url + path, timeout=timeout, trust_env=False, **arguments)

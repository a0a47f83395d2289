"""What a plugin.toml of kind `http` says of the web service that does the work: what it gets, and in which form."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # it imports NumPy, which no command that only reads the configuration needs
    from plugins.manifest_table import ManifestTable

DEADLINE_SECONDS = 3600
"""For an answer, where plugin.toml does not say another time: a service has a queue of its own."""
_MEANINGLESS = ("network", "readable", "environment", "gpu", "resources", "memory_mb")
"""Keys of `[runtime]` that are about a process of this machine."""


class SubmittedForm(StrEnum):
    """In which form a service gets what it works on."""

    MULTIPART = "multipart"
    """multipart/related: a part for each file, as STOW-RS has it (PS3.18 8.7.3.3)."""
    ZIP = "zip"
    """One archive, application/zip."""


@dataclass(frozen=True, slots=True)
class ServiceUse:
    """How an algorithm uses its web service."""

    service: str
    """The service, as the site's configuration calls it (`services`)."""
    send: SubmittedForm = SubmittedForm.MULTIPART


def read(table: ManifestTable) -> ServiceUse:
    """The keys of `[runtime]` that kind http has beside `exchange`; raises ManifestError."""
    for key in _MEANINGLESS:
        if key in table.values:
            raise table.error(key, "means nothing for kind http: the service is no program of this machine")
    send = table.member("send", SubmittedForm, table.take("send", str, SubmittedForm.MULTIPART))
    return ServiceUse(table.take("service", str), send)

"""Vendors' boxes: closed systems that get images by C-STORE, analyse them, and send DICOM objects of their own.

A plugin of kind `dicom` names one in its plugin.toml: what the algorithm needs is there, what the site has is here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from node.config.destinations import ClientTLS
from node.config.sections import Party, Section, TakenUpBy
from node.config.values import AETitle, Duration, Host, Network, Port

_EVERYBODY = TakenUpBy.only(Party.RECEIVERS, Party.NODE, Party.PEERS)


class AnswersFrom(Section):
    """The box stores its answers in an archive, and they are fetched from there."""

    taken_up_by: ClassVar[frozenset[Party]] = frozenset({Party.NODE, Party.PEERS})

    from_: Annotated[str, Field(alias="from")]
    """The destination that is asked (C-FIND) and sends (C-MOVE)."""


class VendorBox(Section):
    """A vendor's box."""

    taken_up_by: ClassVar[frozenset[Party]] = frozenset({Party.NODE, Party.PEERS})

    ae_title: Annotated[AETitle, _EVERYBODY]
    """What it is called."""
    host: Annotated[Host, _EVERYBODY]
    """Its name or address."""
    port: Port
    """Its port."""
    tls: ClientTLS | None = None
    """TLS to it; its name and certificate are verified."""
    calling_ae_title: Annotated[AETitle | None, _EVERYBODY] = None
    """The AE title we call ourselves there, and answer to; `node.ae_title` where it is not given."""
    answering: Annotated[tuple[AETitle, ...], _EVERYBODY] = ()
    """AE titles under which its answers come; its own where none is given."""
    also_from: Annotated[tuple[Network, ...], TakenUpBy.only(Party.RECEIVERS)] = ()
    """Where else its answers may come from than from the address of `host`."""
    timeout: Duration = timedelta(seconds=60)
    """Longest silence of the box, and longest wait for one of its answers."""
    charged: bool = False
    """true: it charges for what it is sent. One attempt, and nothing is sent twice that it has answered with 0000."""
    answers: Annotated[Literal["here", "elsewhere"] | AnswersFrom, Field(union_mode="left_to_right")] = "here"
    """Where its answers go. here: to this node. from: into an archive. elsewhere: straight to the PACS, which is only
    asked whether they came."""

    @property
    def titles(self) -> frozenset[str]:
        """The calling AE titles of its answers."""
        return frozenset(self.answering or (self.ae_title,))

    @property
    def place(self) -> str:
        """As in `CADBOX at 10.0.0.20:104 over TLS`."""
        return f"{self.ae_title} at {self.host}:{self.port}{' over TLS' if self.tls else ''}"

    @property
    def summary(self) -> str:
        """Where it is, and how it answers: as in `CADBOX at 10.0.0.20:104, answers come here, charged`."""
        where = {"here": "answers come here", "elsewhere": "answers go straight to the PACS"}
        how = f"answers are fetched from {self.archive}" if self.archive else where[str(self.answers)]
        return f"{self.place}, {how}{', charged' if self.charged else ''}"

    @property
    def archive(self) -> str | None:
        """The destination that its answers are fetched from."""
        return self.answers.from_ if isinstance(self.answers, AnswersFrom) else None


def answering(boxes: Mapping[str, VendorBox]) -> dict[str, str]:
    """Calling AE title → the box whose answers come under it."""
    return {title: name for name, box in boxes.items() if box.answers == "here" for title in box.titles}

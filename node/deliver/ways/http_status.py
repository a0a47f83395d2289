"""The one table of HTTP statuses: what the answer to an object that was sent by HTTP asks of us.

Where the answer says it of the object itself (PS3.18 10.5.3: FailureReason), that counts, by `node.dimse.status`.
"""

from __future__ import annotations

from node.outcome import AnswerReading

HTTP = "http:"
"""What a destination's answer begins with, as the ledger has it: `http:409`."""

_READINGS = {
    400: AnswerReading.RETRY_FEW,  # it cannot understand the request: as C000 is
    401: AnswerReading.RETRY_SLOWLY,
    403: AnswerReading.RETRY_SLOWLY,
    404: AnswerReading.RETRY_SLOWLY,  # the address is not that of the service: a person has to change it
    405: AnswerReading.RETRY_SLOWLY,
    406: AnswerReading.RETRY_SLOWLY,
    407: AnswerReading.RETRY_SLOWLY,
    408: AnswerReading.RETRY,
    409: AnswerReading.RETRY_FEW,  # nothing was stored, and it does not say why
    410: AnswerReading.RETRY_SLOWLY,
    411: AnswerReading.RETRY_SLOWLY,
    413: AnswerReading.DEAD_LETTER,  # too large
    415: AnswerReading.DEAD_LETTER,  # it takes no such media type
    421: AnswerReading.RETRY_SLOWLY,
    422: AnswerReading.DEAD_LETTER,
    423: AnswerReading.RETRY_FEW,
    425: AnswerReading.RETRY,
    429: AnswerReading.RETRY,
    451: AnswerReading.DEAD_LETTER,
    500: AnswerReading.RETRY_FEW,  # as 0110 is, processing failure
    501: AnswerReading.RETRY_SLOWLY,
    502: AnswerReading.RETRY,
    503: AnswerReading.RETRY,
    504: AnswerReading.UNKNOWN,  # a gateway that was not answered: what is behind it may have the object
    505: AnswerReading.RETRY_SLOWLY,
    507: AnswerReading.RETRY,
    511: AnswerReading.RETRY_SLOWLY,
}
_SAID = {
    401: "does not accept our login or certificate",
    403: "does not allow us this",
    404: "has no such service at this address",
    405: "has no such service at this address",
    413: "says that the object is too large",
    415: "does not take this media type",
    429: "has no time for this now",
    503: "has no time for this now",
    507: "has no space left",
}
NOT_NOW = frozenset({429, 502, 503, 504})
"""It is not there, or has no time, whatever is asked."""


def read(status: int) -> AnswerReading:
    """What it asks of us where nothing else is said. 2xx means that it took something: whether ours, is asked."""
    if 200 <= status < 300:
        return AnswerReading.ASK
    if 300 <= status < 400:
        return AnswerReading.RETRY_SLOWLY
    return _READINGS.get(status, AnswerReading.RETRY_FEW)


def code(status: int) -> str:
    """As the ledger has it."""
    return f"{HTTP}{status}"


def said(status: int) -> str:
    """In words, to be put after the name of who answered."""
    if 300 <= status < 400:
        return f"redirects elsewhere [{status}], which is not followed"
    words = _SAID.get(status)
    return f"{words} [{status}]" if words else f"answers {status}"

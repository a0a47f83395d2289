"""What a radiologist reads where an analysis failed: what happened, and that nothing can be concluded.

No names of errors, no stack traces: those are for the admin, in the job's `error` and its log.
"""

from __future__ import annotations

from node.ledger.attempts import AttemptFailureKind
from node.run.executor import AttemptLimits


def failed(kind: AttemptFailureKind, attempts: int, limits: AttemptLimits | None) -> str:
    """One to three sentences, well below the 1,024 characters of a summary."""
    tried = f" It was tried {attempts} times." if attempts > 1 else ""
    return f"{_what_happened(kind, limits)}{tried} Nothing can be concluded from this about the images."


def not_run(why: str) -> str:
    """What is said of a job that was not begun; `why` says why, such as when its images were removed."""
    return f"{why[:1].upper()}{why[1:]}. Nothing can be concluded from this about the images."


def unanswered(said: str) -> str:
    """What is said of a job whose box or web service was silent; `said` names it and the time."""
    return f"{said} Nothing can be concluded from this about the images."


def _what_happened(kind: AttemptFailureKind, limits: AttemptLimits | None) -> str:
    match kind:
        case AttemptFailureKind.CRASH | AttemptFailureKind.ERROR:
            return "The analysis program stopped unexpectedly."
        case AttemptFailureKind.DEADLINE if limits:
            return f"The analysis did not finish within {_duration(limits.deadline_seconds)} and was stopped."
        case AttemptFailureKind.LOADING if limits:
            return f"The analysis program was not ready within {_duration(limits.loading_seconds)} and was stopped."
        case AttemptFailureKind.MEMORY if limits:
            size = f"{limits.memory_bytes / 2**30:.3g} GiB"
            return f"The analysis needed more memory than the {size} it may use and was stopped."
        case AttemptFailureKind.NODE_DIED:
            return "The analysis was interrupted each time because the system that runs it stopped."
        case AttemptFailureKind.RETRYABLE:
            return "The analysis program could not do its work and asked to be tried again later."
        case AttemptFailureKind.CONTRACT:
            return "The analysis program gave an answer that does not hold up to the checks, so it was discarded."
        case AttemptFailureKind.INPUT:
            return "The analysis could not be started: its program or its images are no longer available."
        case AttemptFailureKind.DAMAGED:
            return "An image of this study was damaged or lost in the storage of the system, so it was not analysed."
        case AttemptFailureKind.GONE:
            return "The analysis was not run: images that it needs were deleted here, and no archive sent them again."
        case AttemptFailureKind.REFUSED:
            return "The analysis system did not accept the images."
        case AttemptFailureKind.CHANGED:
            return "The analysis program was replaced each time while it ran, so its answer was discarded."
        case AttemptFailureKind.NODE:
            return "The analysis could not be carried out because of a fault of the system that runs it."
        case _:
            return "The analysis used more of the computer than it may and was stopped."


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:g} second{'' if seconds == 1 else 's'}"
    return f"{seconds / 60:.3g} minutes"

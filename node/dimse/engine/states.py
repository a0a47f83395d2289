"""The state machine of PS3.8 9.2, where an answer meets an association that has just ended."""

from __future__ import annotations

import contextlib
import queue

from pynetdicom.fsm import TRANSITION_TABLE, StateMachine

_OUR_REQUESTS = frozenset({"Evt7", "Evt8", "Evt9", "Evt11", "Evt14", "Evt15"})
"""Primitives of the local user (PS3.8 Table 9-10): answers to an association request, P-DATA, release, abort."""


class LenientStateMachine(StateMachine):
    """As pynetdicom's, but what we wanted to say on an association that is over meanwhile is dropped.

    The association's thread answers while the connection's thread may just be ending it; pynetdicom raises then, in
    the thread that reads.
    """

    def do_action(self, event: str) -> None:
        """What PS3.8 Table 9-10 says; nothing for a request of ours that it has no place for."""
        if event in _OUR_REQUESTS and (event, self.current_state) not in TRANSITION_TABLE:
            with contextlib.suppress(queue.Empty):
                self.dul.to_provider_queue.get(block=False)
            return
        super().do_action(event)

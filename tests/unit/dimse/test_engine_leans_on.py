"""What the engine leans on inside pynetdicom: a new version that moves one of these fails here, with its name."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest
from pynetdicom import _config, dimse, dul, fsm, transport
from pynetdicom.acse import ACSE
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association

from node.dimse.engine import requesting
from node.dimse.engine.accepted import AcceptedAssociation
from node.dimse.engine.connection import DeadlineSocket
from node.dimse.engine.providers import BoundedDUL, IncomingQueue
from node.dimse.engine.requesting import (
    ConnectingSocket,
    OutgoingQueue,
    RequestingAssociation,
    RequestingDIMSE,
    RequestingDUL,
)
from node.dimse.engine.served import AcceptedDUL, StreamingDIMSE
from node.dimse.engine.server import AcceptedConnection, SharedServer
from node.dimse.engine.states import LenientStateMachine
from node.dimse.engine.timer import SteadyTimer


@pytest.mark.parametrize(
    ("ours", "names"),
    [
        (SharedServer, "server_bind server_activate server_close get_request verify_request handle_error"),
        (AcceptedConnection, "handle"),
        (DeadlineSocket, "recv send ready"),
        (BoundedDUL, "_read_pdu_data send_pdu kill_dul run_reactor"),
        (AcceptedDUL, "_is_transport_event _understood _send"),
        (StreamingDIMSE, "get_msg send_msg _begin_message _receive_data _end_message"),
        (IncomingQueue, "put"),
        (OutgoingQueue, "put"),
        (ConnectingSocket, "connect"),
        (RequestingDUL, "_understood"),
        (RequestingDIMSE, "get_msg"),
        (RequestingAssociation, "request release _abort_blocking kill settle"),
        (AcceptedAssociation, "run_reactor kill _serve_request"),
        (SteadyTimer, "remaining start stop"),
        (LenientStateMachine, "do_action"),
    ],
)
def test_each_override_overrides_something(ours: type, names: str) -> None:
    """A method that no base class has any more is never called."""
    for name in names.split():
        assert name in vars(ours), name
        assert any(hasattr(base, name) for base in ours.__bases__), name


def _attributes(function: Callable[..., object]) -> set[str]:
    code = inspect.unwrap(function).__code__
    return set(code.co_names) | set(code.co_varnames)


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (dul.DULServiceProvider.__init__, "to_user_queue _recv_pdu event_queue state_machine _run_loop_delay"),
        (
            dul.DULServiceProvider.run_reactor,
            "_run_loop_delay _kill_thread _is_transport_event event_queue artim_timer",
        ),
        (dul.DULServiceProvider.idle_timer_expired, "_idle_timer expired"),
        (dul.DULServiceProvider._is_transport_event, "socket ready _read_pdu_data current_state close"),
        (dul.DULServiceProvider._process_recv_primitive, "to_provider_queue"),
        (dul.DULServiceProvider.run_reactor, "_idle_timer restart _process_recv_primitive sleep"),
        (dul.DULServiceProvider.receive_pdu, "to_user_queue get"),
        (dimse.DIMSEServiceProvider.receive_primitive, "decode_msg msg_queue put _serve_request Thread"),
        (Association.__init__, "dul dimse acse_timeout network_timeout run_reactor"),
        (Association.run_reactor, "receive_pdu acse_timeout EVT_REQUESTED is_rejected negotiate_association"),
        (
            Association._run_reactor,
            "get_msg _serve_request is_release_requested idle_timer_expired network_timeout_response",
        ),
        (ACSE._negotiate_as_acceptor, "supported_contexts negotiate_as_acceptor _accepted_cx maximum_associations"),
        (Association._run_reactor, "_kill _reactor_checkpoint wait _is_paused"),
        (Association._serve_request, "_is_paused SCP is_valid_request"),
        (Association.release, "_is_paused _reactor_checkpoint"),
        (dimse.DIMSEServiceProvider.get_msg, "msg_queue get"),
        (ACSE.is_release_requested, "peek_next_pdu"),
        (Association.send_c_store, "_reactor_checkpoint clear _is_paused set get_msg"),
        (ACSE.send_reject, "is_rejected"),
        (Association.accepted_contexts.fget, "_accepted_cx"),  # type: ignore[attr-defined]
        (transport.AssociationServer.__init__, "ssl_context request_handler"),
        (transport.RequestHandler._create_association, "set_socket supported_contexts implementation_class_uid"),
        (transport.AssociationSocket.connect, "address_info provider_queue _ready _is_connected result tls_args"),
        (ACSE._negotiate_as_requestor, "_ready _is_connected receive_pdu acse_timeout role_selection send_abort kill"),
        (ACSE.negotiate_release, "receive_pdu acse_timeout send_abort kill"),
        (Association.request, "start _started_dul _dul_ready negotiate_association"),
        (Association._abort_blocking, "_sent_abort send_abort kill _shutdown_socket"),
        (Association._wrap_find_responses, "get_msg _handle_no_response"),
        (Association._wrap_get_move_responses, "get_msg _handle_no_response"),
        (
            ApplicationEntity.associate,
            "requested_contexts maximum_length add_negotiation_item implementation_class_uid",
        ),
        (transport.AssociationSocket.send, "send event_queue"),
    ],
)
def test_pynetdicom_still_does_it_by_these_names(function: Callable[..., object], names: str) -> None:
    """The methods around ours still call, read or set what we replace."""
    missing = set(names.split()) - _attributes(function)
    assert not missing


def test_state_names_and_events_are_those_of_the_standard() -> None:
    """PS3.8 Table 9-10: established, waiting for the end, invalid PDU, connection closed."""
    assert {"Sta6", "Sta13"} <= set(fsm.STATES)
    assert {("Evt19", "Sta2"), ("Evt19", "Sta6"), ("Evt17", "Sta2"), ("Evt17", "Sta6")} <= set(fsm.TRANSITION_TABLE)


def test_settings_that_are_switched_exist() -> None:
    """Message logging off, files sent as they are."""
    assert _config.LOG_HANDLER_LEVEL == "none"
    assert _config.STORE_SEND_CHUNKED_DATASET is True, requesting.__name__


def test_the_association_limit_of_pynetdicom_can_be_put_out_of_reach() -> None:
    """The policy counts associations across all receivers; pynetdicom must not count as well."""
    entity = ApplicationEntity("X")
    entity.maximum_associations = 1 << 20
    assert entity.maximum_associations == 1 << 20

"""pynetdicom 3.0.4 as the protocol engine, as SCP and as SCU: each thing that is overridden, and why.

The only place that leans on pynetdicom's insides; tests/unit/dimse/test_engine_leans_on.py fails where a
new version moves one of them. Negotiation, release, abort and every service but C-STORE run in
pynetdicom as they are. What is changed:

SharedServer.server_bind, server_activate, server_close
    listen on a socket that the supervisor bound and that other receivers share: pynetdicom binds its
    own, and would shut the shared one down for all.
SharedServer.get_request, AcceptedConnection.handle
    the TLS handshake runs in the connection's own thread with a deadline: in pynetdicom it runs in the
    accept loop, where one silent client stops every other. TCP_NODELAY: a 40 ms stall per object otherwise.
SharedServer.verify_request, process_request
    connections that have not yet asked for an association are counted apart and the oldest is dropped
    where there are too many: in pynetdicom each silent connection takes an association's place.
DeadlineSocket.recv, send, ready
    a whole-PDU deadline in both directions, and waiting instead of polling: accepted sockets have no timeout in
    pynetdicom, so that a partial PDU holds a thread for ever, and both its threads wake up every millisecond.
BoundedDUL._read_pdu_data
    lengths are checked against their bounds at the header, P-DATA is taken apart in place and its lengths
    are checked: pynetdicom buffers whatever length is announced, also before any AE title is seen. What cannot be
    made a primitive is refused here: pynetdicom raises later, in the thread that reads.
    As long as P-DATA comes and nothing waits to be sent, the next PDU is read at once: pynetdicom's loop
    sleeps before each, which takes longer than the PDU itself.
AcceptedDUL._understood, _send
    a request is read by `node.dimse.associate_rq`, and our answer completed: pynetdicom aborts at items, AE titles,
    context IDs and versions that PS3.8 does not name, and that real senders write.
BoundedDUL._understood
    rejections and aborts whose reason PS3.8 does not name are read too: pynetdicom raises.
BoundedDIMSE, Incoming
    a message is collected within bounds, in bytes and in time, and waits in a short queue: pynetdicom's has no bound,
    so that a peer that sends faster than it is served or read fills the memory.
StreamingDIMSE
    the data set of a C-STORE goes to its sink fragment by fragment, and is answered by the thread that
    reads, past the queue and the objects that pynetdicom makes of a response: pynetdicom collects it in
    memory, queues pipelined requests without bound, and its chunked alternative leaks temporary files
    and answers nothing where a write fails. Other messages are
    collected within bounds and handed to pynetdicom whole.
StreamingDIMSE.get_msg (again), AcceptedAssociation._serve_request, conversation, commitments
    where nothing has come, an N-EVENT-REPORT that is due is sent by the association's own thread; and while its answer
    is waited for, as for that of an N-ACTION of ours, the peer's requests are served: pynetdicom takes them for the
    answer and aborts. N-EVENT-REPORTs are served by that thread too: pynetdicom makes a new one for each.
StreamingDIMSE.send_msg, AcceptedDUL._is_transport_event
    nothing is read while a message of ours is queued: the response to a C-STORE would come between its PDUs.
BoundedDUL.run_reactor, send_pdu, kill_dul; StreamingDIMSE.get_msg
    wake the thread that waits: pynetdicom's look each millisecond, and its association waits out the whole
    ACSE timeout for a request on a connection that is already closed.
LenientStateMachine.do_action
    an answer that comes when the association has just ended is dropped: pynetdicom raises in the thread that reads.
SteadyTimer
    ARTIM and idle on the monotonic clock: pynetdicom's run on the wall clock, so that a step of the clock ends
    every association or none.
AcceptedAssociation.kill
    ends a connection whose request was still being decoded when nobody waited for it any more: pynetdicom's thread
    waits for ever.
AcceptedAssociation.run_reactor
    tells the user that the association has ended, however it ended.
requesting (as SCU)
    the same providers for associations that we open, with one deadline for establishing it and one for each request
    with its responses; see there.
"""

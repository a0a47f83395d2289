"""How a box is called."""

from __future__ import annotations

from node.config.boxes import VendorBox
from node.dimse.scu import Peer


def peer_of(box: VendorBox, ae_title: str, plugin_title: str | None = None) -> Peer:
    """The box, as a peer: called under the plugin's own AE title, else the one for the box, else that of the node."""
    return Peer(
        host=box.host,
        port=box.port,
        ae_title=box.ae_title,
        calling_ae_title=plugin_title or box.calling_ae_title or ae_title,
        timeout=box.timeout.total_seconds(),
        tls=box.tls.credentials(box.host) if box.tls else None,
    )

"""Releases of pacsnode on one machine: the signed bundle that brings one, where it is installed, and upgrades.

A bundle is made where there is internet (`creating`), and verified before anything of it is unpacked (`verifying`). It
is installed into a folder of its own beside the release that runs (`installing`, `releases`). `upgrading` goes over
from one release to another with the ledger of a node, and back.
"""

"""Phantoms: images made by code whose truth is known, to try out a node and to test algorithms with."""

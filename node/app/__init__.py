"""The node process: all stages but receiving, in one process with the children that read and encode."""

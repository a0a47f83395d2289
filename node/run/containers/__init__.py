"""Plugins that are container images: the engine that runs them, what a container gets, and how each is removed."""

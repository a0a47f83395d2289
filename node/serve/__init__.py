"""Processes and sockets: the supervisor, what it keeps alive, and what its children inherit."""

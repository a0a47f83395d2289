"""What a plugin prints, kept within limits."""

from __future__ import annotations

import collections
import contextlib
import os
from pathlib import Path

_MOST_COPIED = 2**20


class PluginLog:
    """What the plugin prints: its beginning and its end; however much it is, it takes bounded room."""

    def __init__(self, path: Path, limit: int) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        self._file = os.fdopen(descriptor, "wb", buffering=0)
        self._room = limit // 2
        self._tail: collections.deque[bytes] = collections.deque()
        self._tail_limit = limit // 2
        self._tail_size = 0
        self._dropped = 0
        self.printed = 0
        """Bytes in all, kept or not."""
        self._copy: bytearray | None = None

    def listen(self) -> bytearray:
        """What is printed from now on, as it is read; up to 1 MiB of it."""
        self._copy = bytearray()
        return self._copy

    def write(self, content: bytes) -> None:
        """Keep it, or the part of it that will turn out to be the end."""
        self.printed += len(content)
        if self._copy is not None:
            self._copy += content[: _MOST_COPIED - len(self._copy)]
        head, rest = content[: self._room], content[self._room :]
        if head:
            self._room -= len(head)
            self._put(head)
        if rest:
            self._tail.append(rest)
            self._tail_size += len(rest)
        while self._tail and self._tail_size - len(self._tail[0]) >= self._tail_limit:
            first = self._tail.popleft()
            self._tail_size -= len(first)
            self._dropped += len(first)

    def take(self, output: int, most: int) -> bool:
        """Write what can be read there, up to this many blocks; false at the end of the file."""
        for _ in range(most):
            try:
                content = os.read(output, 65536)
            except BlockingIOError:
                return True
            if not content:
                return False
            self.write(content)
        return True

    def close(self) -> None:
        """Write the end behind the beginning."""
        if self._dropped:
            self._put(f"\n… {self._dropped} bytes left out …\n".encode())
        self._put(b"".join(self._tail))
        self._file.close()

    def _put(self, content: bytes) -> None:
        with contextlib.suppress(OSError):  # a full disk costs the log, not the result
            self._file.write(content)

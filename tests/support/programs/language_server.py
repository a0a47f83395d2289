"""yaml-language-server, which VS Code, Neovim, Emacs and others run for YAML, spoken to as an editor does (LSP)."""

from __future__ import annotations

import json
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.programs.peers import LANGUAGE_SERVER, program
from tests.support.wait import until

_SETTINGS = {
    "yaml": {
        "validate": True,
        "hover": True,
        "completion": True,
        "schemaStore": {"enable": False},
        "disableAdditionalProperties": False,
        "schemas": {},
    }
}


class LanguageServer:
    """One server with the files of one folder open; it asks no network for schemas."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._replies: dict[int, Any] = {}
        self._diagnostics: dict[str, list[dict[str, Any]]] = {}
        self._count = 0
        self._writing = threading.Lock()

    def __enter__(self) -> Self:
        node = program("yaml-language-server", "node")
        self._process = subprocess.Popen(
            [node, str(LANGUAGE_SERVER), "--stdio"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self._folder,
        )
        threading.Thread(target=self._read, daemon=True).start()
        abilities = {"textDocument": {"hover": {"contentFormat": ["markdown"]}}, "workspace": {"configuration": True}}
        self._ask("initialize", {"processId": None, "rootUri": self._folder.as_uri(), "capabilities": abilities})
        self._tell("initialized", {})
        self._tell("workspace/didChangeConfiguration", {"settings": _SETTINGS})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()

    def open(self, name: str, text: str) -> None:
        """Open a file of the folder that holds this text."""
        document = {"uri": self._uri(name), "languageId": "yaml", "version": 1, "text": text}
        self._tell("textDocument/didOpen", {"textDocument": document})

    def diagnostics(self, name: str) -> list[str]:
        """What is underlined in an open file: line (from 1) and message of each, once they have come."""
        uri = self._uri(name)
        until(lambda: uri in self._diagnostics, what=f"diagnostics of {name}")
        return [f"{each['range']['start']['line'] + 1}: {each['message']}" for each in self._diagnostics[uri]]

    def completions(self, name: str, line: int, character: int) -> dict[str, dict[str, Any]]:
        """What is offered at a place (from 0), by its label."""
        answer = self._ask("textDocument/completion", self._place(name, line, character))
        items = answer if isinstance(answer, list) else answer["items"]
        return {each["label"]: each for each in items}

    def hover(self, name: str, line: int, character: int) -> str:
        """What is told of a place (from 0)."""
        answer = self._ask("textDocument/hover", self._place(name, line, character))
        return str(answer["contents"]["value"]) if answer else ""

    def _place(self, name: str, line: int, character: int) -> dict[str, Any]:
        return {"textDocument": {"uri": self._uri(name)}, "position": {"line": line, "character": character}}

    def _uri(self, name: str) -> str:
        return (self._folder / name).as_uri()

    def _ask(self, method: str, parameters: Any) -> Any:
        self._count += 1
        number = self._count
        self._send({"id": number, "method": method, "params": parameters})
        until(lambda: number in self._replies, what=f"the answer to {method}")
        return self._replies.pop(number)

    def _tell(self, method: str, parameters: Any) -> None:
        self._send({"method": method, "params": parameters})

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self._process.stdin is not None
        with self._writing:
            self._process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
            self._process.stdin.flush()

    def _read(self) -> None:
        stream = self._process.stdout
        assert stream is not None
        while header := stream.readline():
            size = int(header.partition(b":")[2])
            while stream.readline().strip():
                pass
            body = stream.read(size)
            if len(body) == size:  # else the server has been ended
                self._take(json.loads(body))

    def _take(self, message: dict[str, Any]) -> None:
        method = message.get("method")
        if method == "textDocument/publishDiagnostics":
            self._diagnostics[message["params"]["uri"]] = message["params"]["diagnostics"]
        elif method == "workspace/configuration":
            asked = [_SETTINGS.get(each.get("section"), {}) for each in message["params"]["items"]]
            self._send({"id": message["id"], "result": asked})
        elif method is None:
            self._replies[message["id"]] = message.get("result")
        elif "id" in message:
            self._send({"id": message["id"], "result": None})

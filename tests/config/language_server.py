"""yaml-language-server, which editors run behind a YAML file (VS Code, Neovim, Emacs, ...): what it says of a file.

    with LanguageServer(binary, folder) as editor:
        editor.open("llmgate.yaml", text)
        editor.problems("llmgate.yaml"); editor.hover("llmgate.yaml", line, column); editor.completions(...)

Language Server Protocol 3.17: JSON-RPC with a `Content-Length` header, on standard input and output.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, Self


class LanguageServer:
    def __init__(self, node_modules: Path, folder: Path) -> None:
        self._folder = folder
        # Its modules find each other only in a folder of this name.
        (folder / "node_modules").symlink_to(node_modules)
        program = folder / "node_modules/yaml-language-server/bin/yaml-language-server"
        self._command = ["node", "--preserve-symlinks", "--preserve-symlinks-main", str(program), "--stdio"]
        self._number = 0
        self._problems: dict[str, list[dict[str, Any]]] = {}

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        root = self._folder.as_uri()
        capabilities = {"textDocument": {"hover": {"contentFormat": ["plaintext"]}}}
        self._ask("initialize", {"processId": None, "rootUri": root, "capabilities": capabilities})
        self._tell("initialized", {})
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate()

    def open(self, name: str, text: str) -> None:
        document = {"uri": self._uri(name), "languageId": "yaml", "version": 1, "text": text}
        self._tell("textDocument/didOpen", {"textDocument": document})

    def problems(self, name: str) -> list[str]:
        """What is underlined, as the server says it; waits until it has said so for the first time."""
        while self._uri(name) not in self._problems:
            self._read()
        return [str(problem["message"]) for problem in self._problems[self._uri(name)]]

    def hover(self, name: str, line: int, column: int) -> str:
        """What is shown beside the pointer; lines and columns count from 0."""
        found = self._ask("textDocument/hover", self._place(name, line, column))
        return "" if found is None else str(found["contents"]["value"])

    def completions(self, name: str, line: int, column: int) -> list[str]:
        found = self._ask("textDocument/completion", self._place(name, line, column))
        return [str(item["label"]) for item in found["items"]]

    def _place(self, name: str, line: int, column: int) -> dict[str, Any]:
        return {"textDocument": {"uri": self._uri(name)}, "position": {"line": line, "character": column}}

    def _uri(self, name: str) -> str:
        return (self._folder / name).as_uri()

    def _ask(self, method: str, parameters: dict[str, Any]) -> Any:
        self._number += 1
        self._write({"id": self._number, "method": method, "params": parameters})
        while True:
            message = self._read()
            if message.get("id") == self._number and "method" not in message:
                return message["result"]

    def _tell(self, method: str, parameters: dict[str, Any]) -> None:
        self._write({"method": method, "params": parameters})

    def _write(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self._process.stdin.flush()

    def _read(self) -> dict[str, Any]:
        """The next message; what the server asks its editor is answered with nothing."""
        assert self._process.stdout is not None
        size = 0
        while (line := self._process.stdout.readline()) != b"\r\n":
            if not line:
                raise EOFError("the language server has ended")
            if line.lower().startswith(b"content-length:"):
                size = int(line.split(b":")[1])
        message: dict[str, Any] = json.loads(self._process.stdout.read(size))
        if message.get("method") == "textDocument/publishDiagnostics":
            self._problems[message["params"]["uri"]] = message["params"]["diagnostics"]
        elif "method" in message and "id" in message:
            wanted = message["params"].get("items", ()) if message["params"] else ()
            self._write({"id": message["id"], "result": [None for _ in wanted] or None})
        return message

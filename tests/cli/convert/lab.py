"""The reference lab's five resources, with a key set of the test's own, and what a conversion of files says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner

from asgi_llmgate.cli import main
from asgi_llmgate.testing.idp import MockIdP

LAB = Path(__file__).parents[2] / "data" / "lab"
RESOURCES = ("gateway", "httproute", "backend", "secret", "rbac-policy")
OPEN_SOURCE = ("gateway", "httproute", "backend", "secret", "rbac-policy-open-source")


@dataclass(frozen=True)
class Conversion:
    code: int
    text: str
    said: str

    @property
    def settings(self) -> Any:
        return yaml.safe_load(self.text)

    def __repr__(self) -> str:
        return f"exit {self.code}\n{self.text}\n{self.said}"


def lab_text(name: str, jwks: Any = None) -> str:
    """A resource of the lab; `jwks` stands where the page leaves the key set out."""
    return (LAB / f"{name}.yaml").read_text().replace("JWKS\n", json.dumps(jwks or {"keys": []}) + "\n")


def lab_files(folder: Path, idp: MockIdP, names: Sequence[str] = RESOURCES, host: str = "") -> list[str]:
    """The lab's files in a folder; `host` (HOST:PORT) is the model server of one's own that the page ends with."""
    paths = []
    for name in names:
        text = lab_text(name, idp.jwks)
        if host and name == "backend":
            address, _, port = host.partition(":")
            text = text.replace("gpt-4o-mini\n", f"gpt-4o-mini\n      host: {address}\n      port: {port}\n")
        path = folder / f"{name}.yaml"
        path.write_text(text)
        paths.append(str(path))
    return paths


def convert(*arguments: str, stdin: str | None = None) -> Conversion:
    said = CliRunner().invoke(main, ["convert", "agentgateway", *arguments], input=stdin)
    assert said.exception is None or isinstance(said.exception, SystemExit), said.exception
    return Conversion(said.exit_code, said.stdout, said.stderr)


def convert_text(folder: Path, *documents: str) -> Conversion:
    """What the documents become, each in a file of its own."""
    paths = []
    for index, document in enumerate(documents):
        path = folder / f"{index}.yaml"
        path.write_text(document)
        paths.append(str(path))
    return convert(*paths)

"""Readers of a request's body, each as some model server reads it.

Go            encoding/json: names without regard to case, the last wins     (Ollama)
JavaScript    JSON.parse: the last wins
Python        json: the last wins                                            (vLLM, SGLang, LiteLLM)
the first     the first of several wins, as in some parsers for C
any case      names without regard to case, the first or the last wins       (.NET's JsonSerializerDefaults.Web)
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.helpers.installation import CACHE, debian_packages, locked, run

HERE = Path(__file__).parent
LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "n_predict", "num_predict", "max_new_tokens")


class Reading(NamedTuple):
    """What a server takes a body for.

    `limits`: each number of output tokens that it names; `tools`: of each the name in its `function`, its own, and its
    type; `functions`: the names of OpenAI's older kind of tools.
    """

    model: str
    stream: bool
    limits: Mapping[str, float]
    tools: tuple[tuple[Any, ...], ...]
    functions: frozenset[str]


Reader = Callable[[bytes], Reading | None]
"""None where the server refuses the body: then nobody can have been misled."""

Pairs = list[tuple[str, Any]]


def _last(pairs: Pairs) -> dict[str, Any]:
    return dict(pairs)


def _first(pairs: Pairs) -> dict[str, Any]:
    return dict(reversed(pairs))


def _folded(join: Callable[[Pairs], dict[str, Any]]) -> Callable[[Pairs], dict[str, Any]]:
    return lambda pairs: join([(name.casefold(), value) for name, value in pairs])


def _python(join: Callable[[Pairs], dict[str, Any]]) -> Reader:
    def read(body: bytes) -> Reading | None:
        try:
            asked = json.loads(body, object_pairs_hook=join)
        except (ValueError, RecursionError):
            return None
        if not isinstance(asked, dict):
            return None
        options = asked.get("options")
        inside = options.get("num_predict") if isinstance(options, dict) else None
        limits = {**{name: asked.get(name) for name in LIMITS}, "options.num_predict": inside}
        tools = [_names(tool) for tool in _list(asked.get("tools"))]
        functions = [each.get("name") for each in _list(asked.get("functions")) if isinstance(each, dict)]
        return _reading(asked.get("model"), asked.get("stream"), limits, tools, functions)

    return read


PYTHON_READERS: dict[str, Reader] = {
    "Python": _python(_last),
    "the first": _python(_first),
    "any case, the last": _python(_folded(_last)),
    "any case, the first": _python(_folded(_first)),
}


def _reading(model: Any, stream: Any, limits: Mapping[str, Any], tools: list[Any], functions: list[Any]) -> Reading:
    numbers = {name: number for name, value in limits.items() if (number := _number(value))}
    return Reading(
        model or "", bool(stream), numbers, tuple(tuple(tool) for tool in tools), frozenset(filter(None, functions))
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _names(tool: Any) -> list[Any]:
    if not isinstance(tool, dict):
        return ["", "", ""]
    function = tool.get("function")
    inside = function.get("name") if isinstance(function, dict) else ""
    return [inside, tool.get("name"), tool.get("type")]


def _number(value: Any) -> float:
    """As a lenient server reads a number: also out of a text."""
    try:
        return max(0.0, float(value))
    except (TypeError, ValueError, OverflowError):
        return 0.0


@contextmanager
def go() -> Iterator[Reader]:
    """A program in Go; the compiler is Debian's where there is none."""
    if shutil.which("go") is None:
        debian_packages("golang-go")
    program = CACHE / "go" / "reader"
    with locked(program):
        source = HERE / "reader.go"
        if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
            environment = {
                **os.environ,
                "GOCACHE": str(CACHE / "go" / "build"),
                "GO111MODULE": "off",
                "CGO_ENABLED": "0",
            }
            run("go", "build", "-o", program, source, env=environment)
    with _answering(str(program)) as reader:
        yield reader


@contextmanager
def javascript() -> Iterator[Reader]:
    """A program in JavaScript, under Node.js."""
    if shutil.which("node") is None:
        debian_packages("nodejs")
    with _answering("node", str(HERE / "reader.mjs")) as reader:
        yield reader


@contextmanager
def _answering(*command: str) -> Iterator[Reader]:
    """A process that answers a line with a line."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        write, answer = process.stdin, process.stdout

        def read(body: bytes) -> Reading | None:
            write.write(base64.b64encode(body) + b"\n")
            write.flush()
            said = json.loads(answer.readline())
            if said["refused"]:
                return None
            return _reading(said["model"], said["stream"], said["limits"], said["tools"], said["functions"])

        yield read
        write.close()

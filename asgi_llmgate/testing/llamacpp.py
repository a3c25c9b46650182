"""A real language model on this machine: llama.cpp's own HTTP server, as the package xllamacpp carries it.

    with llamacpp(python, Path("model.gguf"), log=Path("server.log")) as url: ...

It runs in a process of its own, with one slot and one thread; `python` has xllamacpp.  The process is this file, run as
a program: it prints its address and serves until its standard input ends, so it never outlives who started it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

KEY = "sk-llama"
"""The API key that the server asks for."""

_SECONDS_TO_END = 20


class DidNotStart(Exception):
    """The server ended before it listened; its text is the end of its log."""


@contextmanager
def llamacpp(
    python: str | Path, model: Path, *, log: Path, name: str = "small", window: int = 2048, template: Path | None = None
) -> Iterator[str]:
    """Serve a GGUF file; yields the URL without `/v1`.

    `name` is the model's name in requests, `window` its context in tokens, `template` a file with a chat template in
    place of the model's own.  Raises DidNotStart.
    """
    options = {"model": str(model), "name": name, "window": window, "template": template and str(template)}
    with log.open("w") as errors:
        process = subprocess.Popen(  # noqa: S603 (no shell, and no word of a stranger)
            [str(python), __file__, json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,  # Ctrl-C is for who started it
        )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        url = process.stdout.readline().strip()
        if not url:
            raise DidNotStart(log.read_text(errors="replace")[-800:])
        yield url
    finally:
        process.stdin.close()
        process.terminate()
        try:
            process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def _serve(options: dict[str, Any]) -> None:
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = options["model"]
    parameters.model_alias = {options["name"]}
    parameters.api_keys = [KEY]
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.n_ctx = options["window"]
    parameters.n_parallel = 1
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    parameters.endpoint_metrics = True
    parameters.warmup = False
    parameters.sampling.temp = 0.0
    if options["template"]:
        parameters.chat_template = Path(options["template"]).read_text()
    server = xllamacpp.Server(parameters)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    _serve(json.loads(sys.argv[1]))

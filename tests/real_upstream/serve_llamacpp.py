"""llama.cpp's own HTTP server, as the package xllamacpp carries it, with one slot and one thread.

python serve_llamacpp.py MODEL.gguf [TEMPLATE.jinja]     prints its address and serves until standard input ends
"""

from __future__ import annotations

import sys
from pathlib import Path

import xllamacpp


def main(model: Path, template: str = "") -> None:
    options = xllamacpp.CommonParams()
    options.model.path = str(model)
    options.model_alias = {"small"}
    options.api_keys = ["sk-llama"]
    options.hostnames = ["127.0.0.1"]
    options.port = 0
    options.n_ctx = 2048
    options.n_parallel = 1
    options.cpuparams.n_threads = options.cpuparams_batch.n_threads = 1
    options.endpoint_metrics = True
    options.warmup = False
    options.sampling.temp = 0.0
    if template:
        options.chat_template = Path(template).read_text()
    server = xllamacpp.Server(options)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])

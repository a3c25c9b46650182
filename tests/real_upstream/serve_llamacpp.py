"""llama.cpp's own HTTP server, as the package xllamacpp carries it, with the small model.

python serve_llamacpp.py FOLDER      prints its address and serves until standard input ends
"""

from __future__ import annotations

import sys
from pathlib import Path

import small_model
import xllamacpp


def main(folder: Path) -> None:
    path = folder / "small.gguf"
    small_model.write(path)
    options = xllamacpp.CommonParams()
    options.model.path = str(path)
    options.model_alias = {"small"}
    options.api_keys = ["sk-llama"]
    options.hostnames = ["127.0.0.1"]
    options.port = 0
    options.n_ctx = 2048
    options.n_parallel = 1
    options.warmup = False
    options.sampling.temp = 0.0
    server = xllamacpp.Server(options)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

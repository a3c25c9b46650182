"""A target under atheris, which keeps what reaches new code and mutates that.

    python -m tests.fuzz.guided_fuzzer translator FOLDER [libFuzzer options]

https://github.com/google/atheris; the options are https://llvm.org/docs/LibFuzzer.html#options.  With `-merge=1` the
fuzzer runs itself again: ITSELF in the environment names an executable that does what this does.
"""

from __future__ import annotations

import os
import sys

import atheris

with atheris.instrument_imports(include=["asgi_llmgate"], enable_loader_override=False):
    from tests.fuzz.mutations import TARGETS

if __name__ == "__main__":
    module = TARGETS[sys.argv[1]]
    atheris.Setup([os.environ.get("ITSELF", sys.argv[0]), *sys.argv[2:]], module.target)
    atheris.Fuzz()

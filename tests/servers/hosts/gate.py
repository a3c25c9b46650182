"""The gateway that each host mounts, from the file that LLMGATE_CONFIG names."""

from __future__ import annotations

import os

from asgi_llmgate import Gateway


def gateway() -> Gateway:
    return Gateway.from_file(os.environ["LLMGATE_CONFIG"])


def pid() -> str:
    """What each host's own page says: which worker process answers."""
    return str(os.getpid())

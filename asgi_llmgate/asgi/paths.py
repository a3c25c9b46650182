"""The path of a request under its mount.

ASGI leaves open whether `path` includes `root_path`, and servers and frameworks disagree
(https://github.com/django/asgiref/issues/424):

    mounted by                                                path                 root_path
    --------------------------------------------------------  -------------------  ------------
    nothing                                                   /v1/messages
    Starlette >= 0.33, FastAPI, this package's mount          /llm/v1/messages     /llm
    uvicorn --root-path (proxy removes it, uvicorn adds it)   /proxy/llm/v1/...    /proxy/llm
    hypercorn, granian, daphne, gunicorn with a root path     /llm/v1/messages     /proxy/llm
    Starlette < 0.33; with a slash at the end: Litestar       /v1/messages         /llm, or none

In the fourth row only the end of `root_path` is in `path`.

One case is ambiguous: the server's root path ends as the gateway's paths begin, and there is no mount (for example
`--root-path /api/v1` with hypercorn).  A mount under a name avoids it.
"""

from __future__ import annotations

from asgi_llmgate._types import Scope


def local_path(scope: Scope) -> str:
    """The path under the innermost mount.  It starts with a slash, and ends with one only if it is `/`."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    if not root:
        return path.rstrip("/") or "/"
    root = root.rstrip("/")
    # Remove segments from the front of `root_path` until `path` is under the rest.
    while root and not is_under(path, root):
        root = root[root.find("/", 1) :] if "/" in root[1:] else ""
    return path[len(root) :].rstrip("/") or "/"


def is_under(path: str, prefix: str) -> bool:
    """Whether `path` is `prefix` or continues it at a slash: `/llm/v1` is under `/llm`, `/llmfoo` is not."""
    return path.startswith(prefix) and (len(path) == len(prefix) or path[len(prefix)] == "/")

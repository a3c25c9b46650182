"""The one place that knows where a request's path begins under a mount.

ASGI leaves open whether `path` includes `root_path`, and servers and frameworks disagree
(https://github.com/django/asgiref/issues/424):

    who                                                       path                 root_path
    --------------------------------------------------------  -------------------  ------------
    nobody mounts                                             /v1/messages
    Starlette >= 0.33, FastAPI, this package's mount          /llm/v1/messages     /llm
    uvicorn --root-path (the proxy strips, uvicorn puts back) /proxy/llm/v1/...    /proxy/llm
    hypercorn, granian, daphne, gunicorn with a root path     /llm/v1/messages     /proxy/llm
    Starlette < 0.33; with a slash at the end: Litestar       /v1/messages         /llm, or none

In the fourth row only the end of `root_path` is in `path`.  What stays ambiguous is a server's root path that ends the
way our own paths begin (`--root-path /api/v1` without a mount under hypercorn): there, mount under a name.
"""

from __future__ import annotations

from asgi_llmgate._types import Scope


def local_path(scope: Scope) -> str:
    """The path under the innermost mount, to be compared exactly: it starts with a slash and does not end in one."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    while root and not is_under(path, root):
        root = root[root.find("/", 1) :] if "/" in root[1:] else ""
    return path[len(root) :].rstrip("/") or "/"


def is_under(path: str, prefix: str) -> bool:
    """Whether `path` is `prefix` or continues it at a slash: `/llm/v1` is under `/llm`, `/llmfoo` is not."""
    return path.startswith(prefix) and (len(path) == len(prefix) or path[len(prefix)] == "/")

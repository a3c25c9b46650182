"""The ASGI callables' types, in Starlette's form.

`asgiref.typing` is exact but not usable as an annotation: an app typed with it is refused by mypy --strict wherever a
host expects Starlette's, httpx's or Quart's own aliases.  These fit all of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]

Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

Layer = Callable[..., ASGIApp]
"""Makes an app around another app: a middleware class, its options bound by `functools.partial`."""

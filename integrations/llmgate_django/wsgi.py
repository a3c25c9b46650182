"""`manage.py runserver` serves WSGI, and the gateway is not in it: a developer's client is told so.

Django responds with its 404, for which Claude Code shows that there is an issue with the selected model.  The app puts
this middleware first into MIDDLEWARE while `runserver` runs, and at no other time.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase, JsonResponse

from llmgate_django.checks import asgi_module, is_runserver

_NO_PATH = frozenset({301, 302, 307, 308, 403, 404, 405})


def install() -> None:
    """Put the middleware into this process, if it is `runserver`."""
    name = f"{__name__}.{CallsUnderWSGI.__qualname__}"
    if is_runserver() and name not in settings.MIDDLEWARE:
        # Django reads the setting later, when it makes the handler; the file stays as it is.
        settings.MIDDLEWARE = [name, *settings.MIDDLEWARE]


class CallsUnderWSGI:
    """Replaces Django's response to a call of Anthropic's API, where that says that there is no such path."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self._get_response(request)
        path = request.path.rstrip("/").lower()
        if (
            request.method != "POST"
            or "anthropic-version" not in request.headers
            or not path.endswith(("/messages", "/count_tokens"))
            or response.status_code not in _NO_PATH
        ):
            return response
        module = asgi_module()
        start = f"start the site with `uvicorn {module}:application`" if module else "serve the site's asgi.py"
        message = f"nothing is served at {request.path[:200]}: manage.py runserver cannot serve the gateway; {start}"
        request_id = "req_" + secrets.token_hex(12)
        error = {"type": "invalid_request_error", "message": message}
        body = {"type": "error", "error": error, "request_id": request_id}
        headers = {"request-id": request_id, "x-should-retry": "false"}
        return JsonResponse(body, status=421, headers=headers)

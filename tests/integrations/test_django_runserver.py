"""`manage.py runserver`, which cannot serve the gateway, says so: on the terminal and to the client."""

from __future__ import annotations

import sys
from pathlib import Path

import httpx
import pytest

from tests.helpers.server_processes import free_port, running, wait_for_output

pytest.importorskip("django")

SETTINGS = """
DEBUG = True
SECRET_KEY = "of the tests"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "mysite.urls"
INSTALLED_APPS = ["llmgate_django"]
MIDDLEWARE = ["django.middleware.csrf.CsrfViewMiddleware"]
ASGI_APPLICATION = "mysite.asgi.application"
LLMGATE = {
    "auth": {"providers": [{"issuer": "lab", "audiences": ["llm"], "jwks": {"url": "https://idp.test/jwks"}}]},
    "policy": {"rules": ["true"]},
    "backends": {"openai": {"base_url": "http://127.0.0.1:1/v1"}},
    "models": [{"match": "*", "use": "openai/gpt-4o-mini"}],
}
"""
URLS = """
from django.http import HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
own = csrf_exempt(lambda request: HttpResponse("theirs"))
urlpatterns = [path("own/v1/messages", own), path("form/v1/messages", lambda request: HttpResponse("a form"))]
"""
ASGI = """
import llmgate_django
from django.core.asgi import get_asgi_application
application = llmgate_django.mount(get_asgi_application())
"""
START = "from django.core.management import execute_from_command_line as run; import sys; run(sys.argv)"


def test_runserver_tells_the_terminal_and_the_client_what_to_start(tmp_path: Path) -> None:
    site = tmp_path / "mysite"
    site.mkdir()
    for name, text in {"__init__": "", "settings": SETTINGS, "urls": URLS, "asgi": ASGI}.items():
        (site / f"{name}.py").write_text(text)
    (tmp_path / "manage.py").write_text(START)
    port, printed = free_port(), tmp_path / "printed"
    command = [sys.executable, "manage.py", "runserver", "--noreload", f"127.0.0.1:{port}"]
    with running(command, printed, tmp_path, DJANGO_SETTINGS_MODULE="mysite.settings", PYTHONUNBUFFERED="1") as process:
        wait_for_output(r"(Quit the server)", printed, process)
        client = httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"anthropic-version": "2023-06-01"})
        with client:
            for path in ("/llm/v1/messages", "/llm/v1/messages/count_tokens", "/v1/messages", "/form/v1/messages"):
                answer = client.post(path, json={})
                assert (answer.status_code, answer.headers["x-should-retry"]) == (421, "false")
                assert answer.json()["error"] == {
                    "type": "invalid_request_error",
                    "message": f"nothing is served at {path}: manage.py runserver cannot serve the gateway; "
                    "start the site with `uvicorn mysite.asgi:application`",
                }
                assert answer.json()["request_id"] == answer.headers["request-id"]
            # What is the site's own stays so.
            assert client.post("/own/v1/messages", json={}).text == "theirs"
            assert client.get("/llm/v1/messages").status_code == 404
            assert client.post("/llm/other", json={}).status_code == 404
            del client.headers["anthropic-version"]
            assert client.post("/llm/v1/messages", json={}).status_code == 404
    told = printed.read_text()
    assert "llmgate.W004" in told
    assert "serve mysite.asgi with uvicorn" in told

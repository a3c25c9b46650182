"""Runners for the mounts that README.md shows."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from tests.docs.lab_folder import ASK, Place, Runners
from tests.helpers.installation import ROOT

RUNNERS = Runners()


HOSTED = """
import json, sys
import httpx
from asgi_llmgate.testing.serving import serving
import hosted

app = getattr(hosted, "application", None) or hosted.app
with serving(app) as url, httpx.Client(base_url=url) as client:
    home = client.get("/")
    answer = client.post("/llm/v1/messages", content=sys.argv[1], headers={"authorization": "Bearer " + sys.argv[2]})
print(json.dumps([home.text, answer.json()["content"][0]["text"]]))
"""


FILES = {
    "mysite/__init__.py": "",
    "mysite/settings.py": (
        "from asgi_llmgate.config.schema import read_file\nLLMGATE = read_file('llmgate.yaml')\n"
        "SECRET_KEY = 'x'\nALLOWED_HOSTS = ['*']\nROOT_URLCONF = 'mysite.urls'\n"
    ),
    "company.py": (
        "async def app(scope, receive, send):\n"
        "    await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
        "    await send({'type': 'http.response.body', 'body': b\"the company's own app\"})\n"
    ),
    "mysite/urls.py": (
        "from django.http import HttpResponse\nfrom django.urls import path\n"
        "urlpatterns = [path('', lambda request: HttpResponse(\"the company's own app\"))]\n"
    ),
}


@RUNNERS.runs("mount starlette", "mount django", "mount quart", "mount anything", "starlette lifespans")
def mounted_in_a_host(text: str, place: Place) -> None:
    for name, content in (FILES | {"hosted.py": text}).items():
        (place.folder / name).parent.mkdir(exist_ok=True)
        (place.folder / name).write_text(content)
    command = [sys.executable, "-c", HOSTED, json.dumps(ASK), place.idp.mint()]
    environment = os.environ | {"PYTHONPATH": f"{place.folder}:{ROOT}"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    home, answer = json.loads(done.stdout.splitlines()[-1])
    assert home == "the company's own app"
    assert answer.startswith("An API gateway is")

"""Runners for the mounts that README.md shows."""

from __future__ import annotations

import json
import os
import re
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


AROUND = {
    "application": (
        "import os\nimport llmgate_django\nfrom django.core.asgi import get_asgi_application\n"
        "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'mysite.settings')\n{line}\n"
    ),
    "LLMGate(app)": (
        "from llmgate_quart import LLMGate\nfrom quart import Quart\n"
        "app = Quart(__name__)\napp.config['LLMGATE'] = 'llmgate.yaml'\n{line}\n"
        "@app.get('/')\nasync def home():\n    return \"the company's own app\"\n"
    ),
    "app": "from company import app\nfrom asgi_llmgate import Gateway, mount\n{line}\n",
}
"""How a line of "mount others" begins -> the file that it is a line of."""


@RUNNERS.runs("mount others")
def lines_of_other_hosts(text: str, place: Place) -> None:
    lines = text.splitlines()
    assert len(lines) == len(AROUND)
    for line, (begins, file) in zip(lines, AROUND.items(), strict=True):
        assert line.startswith(begins)
        mounted_in_a_host(file.format(line=line), place)


@RUNNERS.runs("readme install")
def install_lines_of_the_readme(text: str, place: Place) -> None:
    """The two forms of the page on installing, which runs them with pip (tests/integrations/test_installed.py)."""
    page = (ROOT / "docs" / "how-to" / "install.md").read_text("utf-8")
    for line in text.splitlines():
        command = re.sub(r"\[.*?\]", "[EXTRAS]", line.partition("    #")[0])
        assert command in re.sub(r"\[[\w,]+\]", "[EXTRAS]", page), command


@RUNNERS.runs("mount starlette", "starlette lifespans")
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

"""Every code block of README.md, docs/ and examples/ is run, or says why it cannot be.

    <!-- test: NAME -->          the line before a block: the function below that `runs` NAME runs it
    <!-- not run: REASON -->     the line after a block

Blocks may share a name: then one runner does all of them (a tutorial is read from its first block to its last).

A block of `text` is a picture or an output and needs neither; a `{directive}` is for Sphinx, and `make docs` runs it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from asgi_llmgate import Gateway
from asgi_llmgate.testing.driver import call
from asgi_llmgate.testing.idp import MockIdP
from asgi_llmgate.testing.model_server import ModelServer
from asgi_llmgate.testing.serving import serving
from tests.docs import deploying, hosting
from tests.usage.collector import Collector
from tests.usage.processes import served, uvicorn

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")]

ASK = {
    "model": "claude-opus-5-5",
    "max_tokens": 128,
    "messages": [{"role": "user", "content": "In one sentence, what is an API gateway?"}],
}


QWEN = [{"match": "*", "use": "qwen"}]


@dataclass(frozen=True)
class Block:
    """`name` and `reason` are what its marks say."""

    page: str
    line: int
    language: str
    text: str
    name: str
    reason: str


_BLOCK = re.compile(
    r"(?:^ *<!-- test: (?P<name>[^>]+?) -->\n)?"
    r"^(?P<indent> *)```(?P<language>[\w{}-]*)[^\n]*\n(?P<text>.*?)^ *```\n"
    r"(?:^ *<!-- not run[^:]*: (?P<reason>[^>]+?) -->$)?",
    re.MULTILINE | re.DOTALL,
)


def blocks() -> Iterator[Block]:
    for page in PAGES:
        content = page.read_text("utf-8")
        for found in _BLOCK.finditer(content):
            yield Block(
                page=str(page.relative_to(ROOT)),
                line=content.count("\n", 0, found.start("language")) + 1,
                language=found["language"],
                text=textwrap.dedent(found["text"]),
                name=found["name"] or "",
                reason=found["reason"] or "",
            )


BLOCKS = list(blocks())
NAMED = {block.name: block for block in BLOCKS if block.name}


@dataclass(frozen=True)
class Place:
    """A folder with the lab's files and keys; the environment names a scripted model server as the lab's model."""

    folder: Path
    model: ModelServer
    idp: MockIdP
    stack: ExitStack
    request: pytest.FixtureRequest

    def sh(self, text: str, **environment: str) -> str:
        """What bash prints when it runs this, stopping at the first command that fails."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=self.folder,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def serve_lab(self) -> str:
        """The URL of the lab's own app.py."""
        spec = importlib.util.spec_from_file_location("lab_app", self.folder / "app.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return self.stack.enter_context(serving(module.app))

    def install_claude(self) -> None:
        """Puts a `claude` on the PATH that, called without arguments, asks one question and ends."""
        binary = self.request.getfixturevalue("claude_binary")
        script = self.folder / "bin" / "claude"
        script.parent.mkdir()
        script.write_text(f'#!/bin/sh\n[ $# -gt 0 ] || set -- -p "Say hello."\nexec {binary} "$@"\n')
        script.chmod(0o755)
        os.environ["PATH"] = f"{script.parent}:{os.environ['PATH']}"

    def settings(self, **change: Any) -> dict[str, Any]:
        """The lab's, read as YAML, with some sections replaced."""
        return yaml.safe_load((self.folder / "llmgate.yaml").read_text()) | change

    async def ask(self, settings: dict[str, Any], **claims: Any) -> int:
        """The status that a gateway with these settings answers to a caller with these claims."""
        (self.folder / "llmgate.yaml").write_text(yaml.safe_dump(settings))
        headers = {"authorization": f"Bearer {self.idp.mint(**claims)}"}
        async with Gateway.from_file("llmgate.yaml") as gateway:
            return (await call(gateway, "POST", "/v1/messages", json=ASK, headers=headers)).status


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Place]:
    for name in ("app.py", "llmgate.yaml", "policy-tests.yaml"):
        shutil.copy(ROOT / "examples" / "lab" / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("DISABLE_AUTOUPDATER", "1")
    monkeypatch.setenv("IS_SANDBOX", "1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-lab")
    monkeypatch.delenv("OPENAI_MODEL", raising=False)
    with ExitStack() as stack:
        model = ModelServer(api_key="sk-lab")
        monkeypatch.setenv("OPENAI_BASE_URL", stack.enter_context(serving(model)) + "/v1")
        yield Place(tmp_path, model, MockIdP.in_folder(".llmgate"), stack, request)


Runner = Callable[[str, Place], Any]
RUNNERS: dict[str, Runner] = {**deploying.RUNNERS, **hosting.RUNNERS}


def runs(*names: str) -> Callable[[Runner], Runner]:
    def register(runner: Runner) -> Runner:
        RUNNERS.update(dict.fromkeys(names, runner))
        return runner

    return register


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"{block.page}:{block.line}")
def test_a_block_is_run_or_says_why_not(block: Block) -> None:
    assert block.language == "text" or block.language.startswith("{") or block.name in RUNNERS or block.reason


def test_no_runner_is_left_over() -> None:
    assert RUNNERS.keys() == NAMED.keys()


@pytest.mark.parametrize("name", sorted(NAMED))
async def test_a_block_does_what_its_page_says(name: str, place: Place) -> None:
    outcome = RUNNERS[name](NAMED[name].text, place)
    if outcome is not None:
        await outcome


@runs("settings")
async def settings_as_shown(text: str, place: Place) -> None:
    here = text.replace("https://api.openai.com/v1", os.environ["OPENAI_BASE_URL"])
    assert here != text
    assert await place.ask(yaml.safe_load(here)) == 200
    assert await place.ask(yaml.safe_load(here), team="marketing") == 403


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
        "from asgi_llmgate.settings import read_file\nLLMGATE = read_file('llmgate.yaml')\n"
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


@runs("mount starlette", "mount django", "mount quart", "mount anything")
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


@runs("client environment", "lab client")
def claude_code_is_pointed_at_it(text: str, place: Place) -> None:
    place.install_claude()
    printed = place.sh(text.replace("http://127.0.0.1:8080", place.serve_lab()))
    assert printed.startswith(("You said: Say hello.", "An API gateway is"))


@runs("client model")
def a_model_name_of_its_own(text: str, place: Place) -> None:
    place.install_claude()
    report = place.sh(
        f'{text}\nclaude -p "Say hello." --output-format json',
        ANTHROPIC_BASE_URL=f"{place.serve_lab()}/llm",
        ANTHROPIC_AUTH_TOKEN=place.idp.mint(),
    )
    assert json.loads(report)["modelUsage"]["qwen3-coder"]["contextWindow"] == 131072


@runs("swap the model")
def another_backend(text: str, place: Place) -> None:
    (place.folder / "llmgate.yaml").write_text(yaml.safe_dump(place.settings(**yaml.safe_load(text))))
    told = place.sh("llmgate check --config llmgate.yaml qwen3-coder claude-opus-5-5")
    assert "qwen3-coder: Qwen/Qwen3-Coder-480B at vllm" in told
    assert "claude-opus-5-5: gpt-oss:20b at ollama" in told


@runs("a dialect with a column replaced")
def a_replaced_column(text: str, place: Place) -> None:
    (place.folder / "llmgate.yaml").write_text(yaml.safe_dump(place.settings(**yaml.safe_load(text), models=QWEN)))
    assert "qwen3: qwen3 at qwen" in place.sh("llmgate check --config llmgate.yaml qwen3")


@runs("other clients and backends")
def other_clients_and_backends(text: str, place: Place) -> None:
    os.environ["ANTHROPIC_UPSTREAM_KEY"] = "sk-ant"
    (place.folder / "llmgate.yaml").write_text(yaml.safe_dump(place.settings(**yaml.safe_load(text))))
    told = place.sh("llmgate check --config llmgate.yaml claude-opus-5-5 e5-large")
    assert "claude-opus-5-5: claude-opus-5-5 at anthropic" in told
    assert "else qwen3-coder at gpu" in told
    assert "e5-large: intfloat/e5-large at gpu" in told


@runs("an openai client")
def an_openai_client(text: str, place: Place) -> None:
    routes = {"/v1/chat/completions": "completions"}
    (place.folder / "llmgate.yaml").write_text(yaml.safe_dump(place.settings(routes=routes)))
    found: dict[str, Any] = {"TOKEN": place.idp.mint()}
    exec(text.replace("http://127.0.0.1:8080", place.serve_lab()), found)
    assert found["answer"].choices[0].message.content
    found["client"].close()


@runs("an anthropic client")
def an_anthropic_client(text: str, place: Place) -> None:
    (place.folder / "llmgate.yaml").write_text(yaml.safe_dump(place.settings()))
    found: dict[str, Any] = {"TOKEN": place.idp.mint()}
    exec(text.replace("http://127.0.0.1:8080", place.serve_lab()), found)
    assert found["answer"].content[0].text
    found["client"].close()


@runs("test your gateway")
def a_test_of_ones_own(text: str, place: Place) -> None:
    (place.folder / "test_gateway.py").write_text(text)
    told = place.sh("python -m pytest -q -p no:cacheprovider -o asyncio_mode=auto test_gateway.py")
    assert "2 passed" in told


@runs("settings schema")
def schema_for_editors(text: str, place: Place) -> None:
    assert "llmgate.yaml: good" in place.sh(text)
    schema = json.loads((place.folder / "llmgate.schema.json").read_text())
    jsonschema.validate(place.settings(), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(place.settings(polcy={}), schema)


@runs("lab mint")
def keys_and_tokens(text: str, place: Place) -> None:
    *keys, token, marketing = place.sh(f'{text}\necho "$TOKEN"\necho "$MARKETING"').splitlines()
    assert json.loads("\n".join(keys)) == json.loads((place.folder / ".llmgate" / "jwks.json").read_text())
    gate = place.serve_lab() + "/llm/v1/messages"
    statuses = [
        httpx.post(gate, json=ASK, headers={"authorization": f"Bearer {each}"}).status_code
        for each in (token, marketing)
    ]
    assert statuses == [200, 403]


@runs("lab backend", "lab policy")
def part_of_the_labs_settings(text: str, place: Place) -> None:
    assert yaml.safe_load(text).items() <= place.settings().items()


@runs("lab entitlement")
async def the_entitlement_decides_per_model(text: str, place: Place) -> None:
    settings = place.settings(**yaml.safe_load(text))
    assert await place.ask(settings) == 200
    assert await place.ask(settings, llms={"openai": ["gpt-4o"]}) == 403


@runs("from agentgateway")
async def agentgateways_policy(text: str, place: Place) -> None:
    settings = place.settings(**yaml.safe_load(text))
    assert await place.ask(settings) == 200
    assert await place.ask(settings, team="marketing") == 403


@runs("from agentgateway rules")
async def agentgateways_rules(text: str, place: Place) -> None:
    settings = place.settings(**yaml.safe_load(text))
    assert await place.ask(settings, sub="alice") == 200
    assert await place.ask(settings, sub="mallory") == 403
    assert await place.ask(settings, sub="alice", llms={"openai": []}) == 403


@runs("models by claims")
def models_by_claims(text: str, place: Place) -> None:
    (place.folder / "llmgate.yaml").write_text(yaml.safe_dump(place.settings(**yaml.safe_load(text))))
    for team, target in (("research", "qwen3-235b at vllm (vllm)"), ("sales", "gpt-4o-mini at openai (openai)")):
        claims = {"org": "acme", "team": team, "llms": {"openai": ["gpt-4o-mini"]}}
        (place.folder / "claims.json").write_text(json.dumps(claims))
        told = place.sh("llmgate policy explain --claims claims.json --model claude-opus-5-5")
        assert re.findall(r"^  for (.*)$", told, re.MULTILINE) == [target]
        assert told.endswith("allowed by rule 1\n")


@runs("limits")
async def limits_as_shown(text: str, place: Place) -> None:
    assert await place.ask(place.settings(**yaml.safe_load(text))) == 200


@runs("lab check")
def the_settings_are_explained(text: str, place: Place) -> None:
    assert "claude-opus-5: gpt-4o-mini at openai" in place.sh(text)


@runs("lab policy tests")
def the_table_of_tests(text: str, place: Place) -> None:
    assert place.sh(text) == "7 of 7 passed\n"


@runs("lab requests")
def the_three_requests(text: str, place: Place) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    tokens = {"TOKEN": place.idp.mint(), "MARKETING": place.idp.mint(team="marketing")}
    printed = place.sh(text.replace("http://127.0.0.1:8080", place.serve_lab()), **tokens)
    stated = re.findall(r"^ask.*# (\d+): (.*)$", text, re.MULTILINE)
    answers = [json.loads(part) for part in re.findall(r"\{.*?\}(?=\{|\Z)", printed.strip(), re.DOTALL)]
    assert len(answers) == len(stated) == 3
    missing, denied, message = answers
    assert missing["error"] == {"type": "authentication_error", "message": stated[0][1]}
    assert denied["error"] == {"type": "permission_error", "message": stated[1][1]}
    assert (message["type"], message["model"]) == ("message", "gpt-4o-mini-2024-07-18")


@runs("access log")
async def a_log_of_its_own(text: str, place: Place) -> None:
    assert await place.ask(place.settings(**yaml.safe_load(text))) == 200
    (line,) = (place.folder / "access.log").read_text().splitlines()
    record = json.loads(line)
    assert (record["org"], record["team"], record["outcome"]) == ("acme", "data-platform", "ok")


def ask_the_lab(place: Place, url: str) -> None:
    headers = {"authorization": f"Bearer {place.idp.mint()}"}
    assert httpx.post(url + "/llm/v1/messages", json=ASK, headers=headers, timeout=60).status_code == 200


@runs("logging config")
def the_hosts_logging_has_the_lines(text: str, place: Place) -> None:
    (place.folder / "logging.yaml").write_text(text)
    with served(uvicorn("app:app", "--log-config", "logging.yaml"), place.folder) as (url, _):
        ask_the_lab(place, url)
    (line,) = (place.folder / "llm-access.log").read_text().splitlines()
    assert json.loads(line)["outcome"] == "ok"
    assert json.loads(line)["request_id"] not in (place.folder / "output.txt").read_text()
    assert "uvicorn.error" in (place.folder / "output.txt").read_text()


@runs("otel settings")
async def opentelemetry_by_setting(text: str, place: Place) -> None:
    assert await place.ask(place.settings(**yaml.safe_load(text))) == 200


@runs("otel host")
def a_host_that_sends_to_a_collector(text: str, place: Place) -> None:
    (place.folder / "hosted.py").write_text(text)
    (place.folder / "llmgate.yaml").write_text(yaml.safe_dump(place.settings(usage={"otel": True})))
    collector = Collector()
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": place.stack.enter_context(serving(collector))}
    with served(uvicorn("hosted:app"), place.folder, **endpoint) as (url, _):
        ask_the_lab(place, url)
    spans, metrics = collector.wait()
    assert [span.name for span in spans] == ["chat gpt-4o-mini", "POST /llm/v1/messages"]
    assert metrics["llmgate.requests"][0].value == 1


@runs("otel by hand")
async def layers_composed_by_hand(text: str, place: Place) -> None:
    made: dict[str, Any] = {}
    exec(text, made)
    app = made["observed"](place.model)
    assert (await call(app, "GET", "/v1/models", headers={"authorization": "Bearer sk-lab"})).status == 200


@runs("prometheus settings")
async def prometheus_by_setting(text: str, place: Place) -> None:
    assert await place.ask(place.settings(**yaml.safe_load(text))) == 200


def scraped(place: Place, url: str) -> str:
    ask_the_lab(place, url)
    return httpx.get(url + "/metrics", timeout=60).text


@runs("prometheus host")
def a_host_that_is_scraped(text: str, place: Place) -> None:
    (place.folder / "hosted.py").write_text(text)
    (place.folder / "llmgate.yaml").write_text(yaml.safe_dump(place.settings(usage={"prometheus": True})))
    with served(uvicorn("hosted:app"), place.folder) as (url, _):
        assert 'gen_ai_client_token_usage_count{gen_ai_operation_name="chat"' in scraped(place, url)


@runs("prometheus gunicorn")
def workers_that_are_scraped_together(text: str, place: Place) -> None:
    few = text.replace("workers = 4", "workers = 2")
    assert few != text
    (place.folder / "gunicorn.conf.py").write_text(few)
    (place.folder / "hosted.py").write_text(NAMED["prometheus host"].text)
    (place.folder / "llmgate.yaml").write_text(yaml.safe_dump(place.settings(usage={"prometheus": True})))
    counters = place.folder / "counters"
    counters.mkdir()
    command = ["-m", "gunicorn", "hosted:app", "--bind", "fd://{fd}", "--no-control-socket"]
    with served(command, place.folder, PROMETHEUS_MULTIPROC_DIR=str(counters)) as (url, _):
        counts = [re.search(r"^llmgate_requests_total.* (\d+)", scraped(place, url), re.MULTILINE) for _ in range(8)]
    assert [float(count[1]) for count in counts if count] == [1, 2, 3, 4, 5, 6, 7, 8]


@runs(
    "auth introspection",
    "auth protected resource",
    "auth client credentials",
    "okta settings",
    "entra settings",
    "entra model server",
)
def settings_that_start(text: str, place: Place) -> None:
    os.environ["GATEWAY_SECRET"] = "s3cret"
    shown = yaml.safe_load(text)
    assert shown.keys() <= {"auth", "policy", "backends"}
    settings = place.settings() | {name: {**place.settings()[name], **section} for name, section in shown.items()}
    (place.folder / "llmgate.yaml").write_text(yaml.safe_dump(settings))
    assert place.sh("llmgate check --config llmgate.yaml").startswith("llmgate.yaml: good\n")


@runs("auth check token")
def a_token_is_explained(text: str, place: Place) -> None:
    token = place.idp.mint()
    told = place.sh(text, TOKEN=token)
    assert [line.split()[0] for line in told.splitlines()] == ["ok"] * 11
    assert token.rpartition(".")[2] not in told


@runs("lab usage")
async def the_lab_says_what_it_used(text: str, place: Place) -> None:
    assert await place.ask(place.settings(), sub="ada") == 200
    (line,) = place.sh(text).splitlines()[1:]
    assert line.startswith("data-platform  ada   gpt-4o-mini         1 ")


@runs("ledger settings", "ledger prices")
async def calls_are_in_the_ledger_with_their_cost(text: str, place: Place) -> None:
    given = {"usage": {"ledger": {}}} | yaml.safe_load(text)
    backend = {"base_url": os.environ["OPENAI_BASE_URL"], "api_key": "env:OPENAI_API_KEY"}
    assert await place.ask(place.settings(**given, backends={"vllm": backend, "openai": backend})) == 200
    assert "data-platform" in place.sh("llmgate usage tail") or "fields" not in given["usage"]
    (row,) = json.loads(place.sh("llmgate usage report --format json"))
    assert row["cost_usd"] > 0


@runs("ledger postgresql")
def a_ledger_in_postgresql(text: str, place: Place) -> None:
    here = text.replace("/var/lib/llmgate", str(place.folder))
    assert here != text
    settings = (place.folder / "llmgate.yaml").read_text().partition("usage:")[0] + here
    (place.folder / "llmgate.yaml").write_text(settings)
    assert "llmgate.yaml: good" in place.sh("llmgate check")


@runs("ledger report")
async def the_ledger_is_asked(text: str, place: Place) -> None:
    assert await place.ask(place.settings()) == 200
    told = place.sh(text)
    assert told.startswith("team           model        requests")
    assert "data-platform  gpt-4o-mini         1" in told
    assert "200  ok" in told
    assert "0 records older than 30d deleted" in told
    assert (place.folder / "usage.csv").read_text().startswith("day,user,requests,")


@runs("ledger sql")
async def the_ledger_is_asked_in_sql(text: str, place: Place) -> None:
    assert await place.ask(place.settings()) == 200
    with contextlib.closing(sqlite3.connect(place.folder / ".llmgate" / "usage.db")) as ledger:
        ((_, calls, written, dollars),) = ledger.execute(text)
    assert calls == 1
    assert written > 0
    assert 0 < dollars < 0.01


@runs("ledger page")
async def the_page_behind_a_login(text: str, place: Place) -> None:
    assert await place.ask(place.settings()) == 200
    host = "Starlette(routes=[Route('/login', login)])"
    names: dict[str, Any] = {"Route": Route, "login": log_in}
    exec(text.replace("Starlette()", host), names)
    base = place.stack.enter_context(serving(names["app"]))
    with httpx.Client(base_url=base, trust_env=False) as browser:
        assert browser.get("/llm-usage/").headers["location"] == "/login?next=%2Fllm-usage%2F"
        for team, calls in (("data-platform", 1), ("search", 0)):
            browser.get("/login", params={"role": "lead", "team": team})
            assert f"<dt>Requests</dt><dd>{calls}</dd>" in browser.get("/llm-usage/").text


async def log_in(request: Request) -> PlainTextResponse:
    request.session["user"] = dict(request.query_params)
    return PlainTextResponse("hello")


@runs("ledger link")
def the_page_behind_a_link(text: str, place: Place) -> None:
    printed: list[str] = []
    names: dict[str, Any] = {"app": Starlette(), "print": printed.append}
    exec(text, names)
    base = place.stack.enter_context(serving(names["app"]))
    with httpx.Client(trust_env=False, follow_redirects=True) as browser:
        page = browser.get(printed[0].replace("http://127.0.0.1:8080", base))
        assert "<h1>LLM usage</h1>" in page.text

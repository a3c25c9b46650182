"""A library in somebody else's process: what belongs to the host is as it was, before, while and after it serves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from asgi_llmgate.testing.idp import MockIdP
from asgi_llmgate.testing.model_script import say
from asgi_llmgate.testing.model_server import ModelServer
from asgi_llmgate.testing.serving import serving

PROCESS = """
import asyncio, gc, logging, os, signal, sys, threading, warnings

forks = []
register = os.register_at_fork

def registered(**hooks):
    forks.append(sys._getframe(1).f_globals["__name__"])
    register(**hooks)

os.register_at_fork = registered


def state():
    "What a host may have set, and would not like to find changed."
    loggers = {name: logging.getLogger(name) for name in [*LOGGERS, *CELPY]}
    known = logging.root.manager.loggerDict
    loggers |= {name: each for name, each in known.items() if isinstance(each, logging.Logger)}
    return {
        "loggers": {
            name: (each.level, [*map(repr, each.handlers)], each.propagate, each.disabled, [*map(repr, each.filters)])
            for name, each in loggers.items()
        },
        "logging": (logging.root.manager.disable, logging.raiseExceptions, repr(logging.getLoggerClass())),
        "environment": dict(os.environ),
        "signals": {number: repr(signal.getsignal(number)) for number in signal.valid_signals()},
        "warnings": [*map(repr, warnings.filters)],
        "hooks": [*map(repr, (sys.excepthook, sys.unraisablehook, threading.excepthook, sys.gettrace()))],
        "limits": (sys.getrecursionlimit(), sys.getswitchinterval(), gc.get_threshold(), gc.isenabled()),
        "folder": os.getcwd(),
        "forks": [name for name in forks if name.startswith(("asgi_llmgate", "llmgate"))],
    }


LOGGERS = ["root", "llmgate", "llmgate.access", "celpy", "httpx", "aiohttp"]
CELPY = ["celpy.Evaluator", "celpy.NameContainer", "celpy.celpy.evaluation", "celpy.celpy.celtypes"]
before = state()

from asgi_llmgate import Gateway
from asgi_llmgate.testing.driver import call

imported = state()
gateway = Gateway.from_settings(
    {
        "auth": {"providers": [{"name": "idp", "issuer": ISSUER, "audiences": ["llm"]}]},
        "backends": {"openai": {"base_url": BASE_URL}},
        "models": [{"match": "*", "use": "openai/gpt-4o-mini"}],
        "policy": {"engine": ENGINE, "rules": [{"name": "engineers", "allow": "'eng' in jwt.groups"}]},
        "usage": {"access_log": {"file": FILE}} if FILE else {},
    }
)
built = state()
BODY = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}


async def serve():
    headers = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
    async with gateway:
        reply = await call(gateway, "POST", "/v1/messages", headers=headers, json=BODY)
        assert reply.status == 200, reply
        return state()


served = asyncio.new_event_loop().run_until_complete(serve())  # asyncio.run has a handler for SIGINT
states = {"imported": imported, "built": built, "served": served, "closed": state()}
for when, after in states.items():
    for what, value in after.items():
        old = before[what]
        if what == "loggers":  # a new one of ours is as logging makes it; lark and others look after their own
            value = {name: value[name] for name in value if name in old or name.startswith("llmgate")}
            old = {name: old.get(name, (0, [], True, False, [])) for name in value}
            if ENGINE == "celpy" and when != "imported":
                assert all(len(each[4]) == 1 for name, each in value.items() if name in CELPY), value
                value = {name: each for name, each in value.items() if name not in CELPY}
                old = {name: each for name, each in old.items() if name not in CELPY}
        assert value == old, (when, what, value, old)
print("as it was")
"""


def run(**names: object) -> str:
    idp = MockIdP(audience="llm")
    with serving(idp) as issuer, serving(ModelServer([say("Hello.")])) as url:
        idp.issuer = issuer
        values = {
            "ISSUER": issuer,
            "TOKEN": idp.mint(groups=["eng"]),
            "BASE_URL": f"{url}/v1",
            "ENGINE": "strict",
            "FILE": "",
            **names,
        }
        lines = [f"{name} = {value!r}" for name, value in values.items()]
        done = subprocess.run(
            [sys.executable, "-c", "\n".join(lines) + PROCESS], capture_output=True, text=True, timeout=120
        )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_nothing_of_the_host_is_changed() -> None:
    lines = run().splitlines()
    assert lines[-1] == "as it was"
    assert json.loads(lines[0])["outcome"] == "ok"  # the access log, which the host has no handler for


def test_nor_with_an_access_log_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "access.log"
    assert run(FILE=str(file)).splitlines() == ["as it was"]
    assert json.loads(file.read_text())["outcome"] == "ok"


def test_engine_celpy_asks_for_a_filter_on_celpys_loggers() -> None:
    assert run(ENGINE="celpy").splitlines()[-1] == "as it was"

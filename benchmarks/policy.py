"""The cost of a decision: python -m benchmarks.policy

Rules over a token with 22 claims, this engine beside celpy's two runners, whose claims are converted beforehand.
CompiledRunner runs in a process of its own: celpy's parser serves one kind of runner per process.  Then the layer as a
whole, and the longest that any rule has held the event loop.  With --check the exit code is 1 where a claim is missed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import celpy

from asgi_llmgate import Exchange, Identity, PolicyMiddleware
from asgi_llmgate.cel import EvaluationError, compile_rule
from asgi_llmgate.exchange_values import Call, Target
from asgi_llmgate.protocol.messages.request import decode_messages
from asgi_llmgate.rule_variables import fields_of
from asgi_llmgate.testing.driver import http_scope
from benchmarks.timing import Work, microseconds, ratio

LAB = 'jwt.org == "acme" && jwt.team == "data-platform"'
GROUPS = [f"group-{number:04d}" for number in range(200)]
CLAIMS: Mapping[str, Any] = {
    "iss": "https://sso.acme.test/realms/acme",
    "sub": "248289761001",
    "aud": "anthropic-api",
    "org": "acme",
    "team": "data-platform",
    "llms": {"openai": ["gpt-4o-mini"]},
    "groups": GROUPS,
    "realm_access": {"roles": ["offline_access", "ml", "dev"]},
    **{f"claim_{number}": f"value {number}" for number in range(14)},
}
VARIABLES = {"jwt": CLAIMS, "llm": {"model": "gpt-4o-mini"}}

RULES = {
    "the lab's rule": LAB,
    "an entitlement": "llm.model in jwt.llms.openai",
    "three roles, exists": 'jwt.realm_access.roles.exists(r, r == "ml")',
    "200 groups, in": '"group-0199" in jwt.groups',
    "200 groups, exists": 'jwt.groups.exists(g, g == "group-0199")',
    "200 groups, exists with two functions": 'jwt.groups.exists(g, g.startsWith("group-") && g.endsWith("-x"))',
}

LONGEST = [
    "jwt.groups.exists(a, jwt.groups.exists(b, a + b == ''))",
    "jwt.groups.all(a, jwt.groups.all(b, jwt.groups.all(c, a != 'x')))",
    "jwt.groups.map(a, jwt.groups.map(b, [a, b])).size() == 1",
    "jwt.groups.filter(a, jwt.groups.filter(b, a == b).size() == 2).size() == 1",
    "jwt.groups.exists_one(a, jwt.groups.exists_one(b, a < b))",
    "jwt.many.exists(a, a.missing == 1 || a.missing == 2)",
    "jwt.many.map(a, {a: [a, {a: a}]}).size() == 1",
    "[jwt.long].map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).size() == 1",
    "[[1]]" + ".map(a, [a, a])" * 30 + " == []",
    "[1]" + ".map(a, [a, a])" * 20 + " == [1]" + ".map(a, [a, a])" * 20,
    "jwt.groups.exists(a, a.missing || jwt.groups.exists(b, b.missing))",
    "jwt.long.split('').map(a, jwt.long).join().size() == 1",
    "jwt.long.replace('x', jwt.long).size() == 1",
    "jwt.long.split('').join(jwt.long).size() == 1",
    "jwt.long.split('').map(a, a.upperAscii()).join('-').lowerAscii().trim().size() == 1",
    "jwt.many.exists(a, a.matches('^(x+x+)+y$'))",
    "jwt.long.matches('(x?){500}y')",
    "jwt.long.matches('(x+x+)+y')",
    "jwt.many.exists(a, timestamp(a) == timestamp(0) || a in jwt.many)",
    "jwt.many.exists(a, duration(a) == duration('1s') || duration(a) < duration('1s'))",
    "jwt.many == jwt.many && jwt.many.all(a, jwt.many == jwt.many)",
    "jwt.deep == jwt.deep",
    "jwt.many.exists(a, string(a) == a && bytes(a) == bytes(a) && size(a) > 100)",
    "jwt.numbers.exists(n, timestamp(n).getHours('Europe/Berlin') == 25 || string(timestamp(n)) == '')",
    "jwt.numbers.exists(n, n % 7 == 9 || n * n < 0 || double(n) / 3.0 < 0.0)",
    " || ".join(["jwt.nothing == 1"] * 800),
]
"""Rules that are made to be slow; `tests/cel/test_known_engine_bugs.py` evaluates them, too."""

DEEP: Any = ["x"]
for _ in range(60):
    DEEP = [DEEP, "x"]

LARGE_TOKEN: Mapping[str, Any] = {
    "groups": GROUPS,
    "many": [f"x{number}" for number in range(4000)],
    "numbers": list(range(4000)),
    "long": "x" * 16_000,
    "deep": DEEP,
}
"""Claims that fill a token of 16 KiB, the limit."""


def engine(source: str) -> Work:
    expression = compile_rule(source, variables=fields_of())
    return lambda: expression.evaluate(VARIABLES)


def celpys(source: str, runner: type[celpy.Runner]) -> Work:
    environment = celpy.Environment(runner_class=runner)
    program = environment.program(environment.compile(source))
    variables = {name: celpy.json_to_cel(value) for name, value in VARIABLES.items()}
    return lambda: program.evaluate(variables)


def layer(rules: list[Any], *targets: Target) -> Work:
    """PolicyMiddleware's whole decision about a call, the variables made anew as for each request."""
    middleware = PolicyMiddleware(_nowhere, rules=rules)
    body = b'{"model":"claude-opus-5-5","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}'
    scope, exchange = Exchange.enter(http_scope("POST", "/v1/messages"))
    exchange.identity = Identity("alice", "idp", "idp", CLAIMS)
    asked = decode_messages(body)

    def decide() -> object:
        exchange.call, exchange.variables = Call(asked, targets), None
        return middleware.decide(scope, exchange)

    assert decide() is None
    return decide


async def _nowhere(scope: Any, receive: Any, send: Any) -> None:
    raise NotImplementedError


def longest(source: str) -> float:
    """Milliseconds that one evaluation holds the loop, whether it has a value or is ended by the budget."""
    expression = compile_rule(source, variables=fields_of())

    def evaluate() -> None:
        with suppress(EvaluationError):
            expression.evaluate({"jwt": LARGE_TOKEN})

    return microseconds(evaluate) / 1000


def compiled_ratios() -> dict[str, float]:
    """The time of CompiledRunner, in multiples of this engine's."""
    return {name: ratio(engine(source), celpys(source, celpy.CompiledRunner)) for name, source in RULES.items()}


def main() -> None:
    if "--compiled" in sys.argv:
        print(json.dumps(compiled_ratios()))
        return
    found = subprocess.run(
        [sys.executable, "-m", "benchmarks.policy", "--compiled"], capture_output=True, text=True, check=True
    )
    compiled = json.loads(found.stdout)
    print(f"{'rule':42} {'engine':>9}  InterpretedRunner  CompiledRunner")
    taken = {}
    for name, source in RULES.items():
        taken[name] = microseconds(engine(source))
        interpreted = ratio(engine(source), celpys(source, celpy.InterpretedRunner))
        print(f"{name:42} {taken[name]:6.2f} µs {interpreted:14.0f} x {compiled[name]:13.0f} x")
    small = Target("openai", "openai", "gpt-4o-mini")
    decision = microseconds(layer([LAB]))
    entitled = microseconds(layer([f"{LAB} && llm.model in jwt.llms.openai"], Target("vllm", "vllm", "x"), small))
    print(f"\n{'the layer: the lab rule':42} {decision:6.2f} µs")
    print(f"{'the layer: an entitlement, two targets':42} {entitled:6.2f} µs")
    worst = max((longest(source), source) for source in LONGEST)
    print(f"\nthe longest of {len(LONGEST)} rules meant to be long: {worst[0]:.2f} ms, {worst[1][:60]}")
    claims = {
        "a decision for the lab's rule under 5 µs": decision < 5,
        "`exists` over 200 groups under 100 µs": taken["200 groups, exists"] < 100,
        "no rule on any token more than 5 ms": worst[0] < 5,
    }
    print("\n" + "\n".join(f"{'true ' if holds else 'FALSE'}  {claim}" for claim, holds in claims.items()))
    if "--check" in sys.argv and not all(claims.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()

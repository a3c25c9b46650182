from __future__ import annotations

import pytest

from asgi_llmgate.cli.convert.expressions import RENAMED, convert_expression


@pytest.mark.parametrize(
    "source",
    [
        'jwt.org == "acme" && jwt.team == "data-platform"',
        'jwt["https://acme.com/roles"].exists(r, r == "x")',
        "llm.requestModel in jwt.llms.openai",
        'source.address == "10.0.0.1"',
        'request.headers["x-team"] == "a"',
        "  jwt.a\n&& jwt.b  ",
    ],
)
def test_what_is_the_same_stays_as_it_is(source: str) -> None:
    assert convert_expression(source).source == source.strip()
    assert convert_expression(source).changes == ()
    assert convert_expression(source).problem == ""


@pytest.mark.parametrize("name", RENAMED)
def test_each_name_is_replaced_in_its_places_only(name: str) -> None:
    text = name.replace('"', "")
    source = f'string({name}) == "{text}" || "{text}" == string( {name} ) // {text}'
    converted = convert_expression(source)
    new = RENAMED[name]
    assert converted.source == f'string({new}) == "{text}" || "{text}" == string( {new} ) // {text}'
    assert converted.problem == ""
    assert len(converted.changes) == 1
    assert converted.changes[0].startswith(f"{name} is {new} here")


def test_names_that_only_begin_like_one() -> None:
    assert convert_expression("jwt.request.uri == jwt.uri").source == "jwt.request.uri == jwt.uri"
    assert convert_expression("jwt.llm.params.max_tokens > 1").source == "jwt.llm.params.max_tokens > 1"
    assert convert_expression('json( request . body ) . model == "a"').source == 'llm.requestModel == "a"'


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("jwt.team ==", "1:12: the expression ends too early"),
        ("foolen_{{request.path}}", "1:"),
        ("apiKey.group == 'x'", "1:1: unknown variable 'apiKey'"),
        ("mcp.tool.name == 'x'", "1:1: unknown variable 'mcp'"),
        ("response.code == 200", "1:1: unknown variable 'response'"),
        ("llm.promptTokens > 1", "1:5: 'llm' has no field 'promptTokens'"),
        ('cidr("10.0.0.0/8").containsIP(source.address)', "1:"),
        ("jwt.?team == 'x'", "1:5: optional syntax"),
        ('request.headers["authorization"] == "x"', "the header authorization holds a credential"),
        ("request.headers['X-Api-Key'] == 'x'", "the header x-api-key holds a credential"),
        ("x" * 20_000, "1:1: longer than"),
        ("[" * 200 + "]" * 200, "1:"),
        ("(" * 900 + "request.headers" + ")" * 900 + '["cookie"] == "x"', "the header cookie holds a credential"),
    ],
)
def test_what_cannot_be_used_is_said(source: str, problem: str) -> None:
    assert convert_expression(source).problem.startswith(problem), convert_expression(source)

"""`llmgate policy`: tests and explains rules without a server."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import click

from asgi_llmgate._types import Receive, Scope, Send
from asgi_llmgate.cel import Expression
from asgi_llmgate.cel.explanation import explain
from asgi_llmgate.cli.command_group import CommandGroup
from asgi_llmgate.config.schema import Settings, read_file, read_settings
from asgi_llmgate.config.sections.backends import make_dialect
from asgi_llmgate.config.sections.models import make_table
from asgi_llmgate.config.sections.policy import make_policy_layer
from asgi_llmgate.config.sections.safeguards import make_rules
from asgi_llmgate.config.yaml_text import LARGEST, read_yaml
from asgi_llmgate.errors import InternalError, SettingsError
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.exchange_values import Target, ToolUse
from asgi_llmgate.mistakes import Mistakes, error_path
from asgi_llmgate.policy import PolicyMiddleware
from asgi_llmgate.policy.cases import Case, Targets, TestRequest, decide, decide_before_body
from asgi_llmgate.routing import ModelTable
from asgi_llmgate.rule_variables import RuleVariables
from asgi_llmgate.safeguards.cases import SafeguardCase, read_all_cases, variables_of_case
from asgi_llmgate.safeguards.judging import Safeguards
from asgi_llmgate.safeguards.tool_variable import SHELL_TOOL

_COMBINED = {"allow": ", if any of these is true", "deny": ", if any of these is true", "require": ", all of these"}


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
def policy() -> None:
    """Test and explain rules."""


@policy.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
def test(file: str) -> None:
    """Run the table tests in FILE, of the policy and of the rules about tool calls.

    Its `policy` is the name of a settings file in the same folder, or a policy section.  The exit code is 1 when a test
    fails, or when a request is denied before its body is read although the rules allow it with the body.
    """
    document = read_file(file)
    rules = _Rules(document.pop("policy", "llmgate.yaml"), Path(file).parent)
    cases = list(read_all_cases(document))
    failures = [failure for case in cases if (failure := rules.run(case))]
    for failure in failures:
        click.echo(f"- {failure}")
    click.echo(f"{len(cases) - len(failures)} of {len(cases)} passed")
    if failures:
        raise SystemExit(1)


@policy.command(name="explain")
@click.option("--config", default="llmgate.yaml", show_default=True, type=click.Path(), help="The settings.")
@click.option(
    "--claims", type=click.Path(exists=True, dir_okay=False, allow_dash=True), help="JSON or YAML; - is stdin."
)
@click.option("--token", type=click.File("rb"), help="A file with a token, which is NOT verified; - is stdin.")
@click.option("--model", default=None, help="The name that the client asks for; without it the request is a GET.")
@click.option("--path", "where", default=None, help="The path under the mount.")
@click.option("--header", "headers", multiple=True, metavar="NAME:VALUE", help="A request header; may be repeated.")
@click.option("--command", default=None, metavar="TEXT", help="Explain the rules about tool calls for a Bash call.")
@click.option("--tool", default=None, metavar="NAME", help="Explain them for another tool.")
@click.option("--input", "arguments", default="{}", metavar="JSON", help="The input of that tool.")
def show(
    config: str,
    claims: str | None,
    token: Any,
    model: str | None,
    where: str | None,
    headers: tuple[str, ...],
    command: str | None,
    tool: str | None,
    arguments: str,
) -> None:
    """Show the value of each part of each rule for a caller and a model, or for a tool call.

    The output contains claims: run it where only people who may see them can read it.
    """
    if (claims is None) == (token is None):
        raise click.UsageError("give one of --claims and --token")
    person = _claims(claims) if claims is not None else _payload(token.read())
    request: dict[str, Any] = {"headers": dict(_header(header) for header in headers)}
    if where is not None:
        request["path"] = where
    given = TestRequest(person, request, None if model is None else {"requestModel": model})
    rules = _Rules(Path(config).name, Path(config).parent)
    if command is not None:
        _show_safeguards(rules, given, ToolUse("", SHELL_TOOL, json.dumps({"command": command}).encode()))
    elif tool is not None:
        _show_safeguards(rules, given, ToolUse("", tool, arguments.encode()))
    else:
        _show_policy(rules.layer, rules.targets, given)


def _show_policy(layer: PolicyMiddleware, targets: Targets | None, given: TestRequest) -> None:
    scope, exchange = given.make_exchange(targets)
    candidates = exchange.call.candidates if exchange.call is not None else ()
    seen = layer.variables(scope, exchange)
    for rule in layer.policy.rules:
        mode = "" if rule.rule.mode == "enforce" else f", {rule.rule.mode}"
        holds = "" if len(rule.expressions) == 1 else _COMBINED[rule.rule.action]
        click.echo(f"{rule.rule.name} ({rule.rule.action}{mode}){holds}")
        for target in candidates if rule.per_target else (None,):
            if target is not None:
                click.echo(f"  for {target.model} at {target.backend} ({target.vendor})")
            _echo(rule.expressions, seen if target is None else seen.about(target))
    try:
        decision = decide(layer, given, targets)
    except InternalError as error:
        raise click.ClickException(error.message) from None
    missing = f" ({decision.missing} is missing)" if decision.missing else ""
    early = "" if decide_before_body(layer, given, targets) is None else ", before the body is read"
    click.echo(f"{'allowed' if decision.allowed else 'denied'} by {decision.rule or 'default'}{missing}{early}")
    for name in decision.dry_run:
        click.echo(f"dry run: {name} would deny")


def _show_safeguards(rules: _Rules, given: TestRequest, use: ToolUse) -> None:
    safeguards = rules.safeguards
    variables = variables_of_case(safeguards, given, rules.targets)
    decision = safeguards.decide(variables, use)
    for rule, expression in safeguards.rules.rules:
        mode = "" if rule.mode == "enforce" else f", {rule.mode}"
        click.echo(f"{rule.name} ({rule.outcome}{mode})")
        _echo((expression,), variables)
    if decision.rule is None:
        click.echo("undecided")
    else:
        reason = f": {decision.explanation}" if decision.explanation else ""
        click.echo(f"{decision.rule.outcome} by {decision.rule.name}{reason}")
    for rule in decision.dry_run:
        click.echo(f"dry run: {rule.name} would {rule.outcome}")


def _echo(expressions: tuple[Any, ...], variables: RuleVariables) -> None:
    for expression in expressions:
        if isinstance(expression, Expression):
            for line in explain(expression, variables).lines(1):
                click.echo(line)
        else:
            click.echo(f"  {expression.source}")


class _Rules:
    """The rules of a settings file, each kind made when it is first needed.  Raises SettingsError."""

    def __init__(self, written: Any, folder: Path) -> None:
        if isinstance(written, str):
            self._settings = read_settings(read_file(folder / written))
        elif isinstance(written, Mapping):
            self._settings = read_settings({"backends": {}, "models": [], "policy": written})
        else:
            raise SettingsError("must be the name of a settings file, or a policy section", path="policy")
        self._folder = folder
        self._table = _table(self._settings)

    @cached_property
    def layer(self) -> PolicyMiddleware:
        """What decides about requests."""
        mistakes = Mistakes()
        make_layer = make_policy_layer(self._settings.policy, self._folder, mistakes)
        with mistakes.under("policy"):
            layer = make_layer(_no_app, list_claims=self._settings.policy.list_claims)
        mistakes.raise_if_any()
        assert isinstance(layer, PolicyMiddleware)
        return layer

    @cached_property
    def safeguards(self) -> Safeguards:
        """What decides about tool calls."""
        written = self._settings.safeguards
        if written is None:
            raise SettingsError("there are no rules about tool calls", path="safeguards")
        with error_path("safeguards"):
            return Safeguards(make_rules(written), list_claims=self._settings.policy.list_claims)

    @property
    def targets(self) -> Targets | None:
        """The model table, if the settings have models."""
        return self._find_targets if self._settings.models else None

    def _find_targets(self, name: str, scope: Scope, exchange: Exchange) -> tuple[Target, ...]:
        return self._table.resolve(name, self.layer.variables(scope, exchange))

    def run(self, case: Case | SafeguardCase) -> str:
        """What is wrong with a test case; "" where nothing is."""
        if isinstance(case, Case):
            return case.run(self.layer, self.targets)
        return case.run(self.safeguards, self.targets)


def _table(settings: Settings) -> ModelTable:
    vendors = {
        name: backend.provider or make_dialect(name, backend).name for name, backend in settings.backends.items()
    }
    mistakes = Mistakes()
    table = make_table(settings.models, vendors, mistakes)
    mistakes.raise_if_any()
    return table


async def _no_app(scope: Scope, receive: Receive, send: Send) -> None:
    raise NotImplementedError("this app is not meant to be called: rules are only evaluated")


def _claims(path: str) -> dict[str, Any]:
    with click.open_file(path, "rb") as file:
        found = read_yaml(file.read(LARGEST + 1), path)
    if not isinstance(found, dict):
        raise click.ClickException("the claims must be a mapping")
    return found


def _payload(token: bytes) -> dict[str, Any]:
    """The claims of a token, which is not verified."""
    try:
        middle = token.strip().split(b".")[1]
        found = json.loads(base64.urlsafe_b64decode(middle + b"=" * (-len(middle) % 4)))
    except (IndexError, ValueError, binascii.Error):
        raise click.ClickException("the token is not a JWT") from None
    if not isinstance(found, dict):
        raise click.ClickException("the token is not a JWT")
    return found


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise click.UsageError("a header is written NAME:VALUE")
    return name.strip(), value.strip()

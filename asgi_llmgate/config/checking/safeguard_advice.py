"""What in valid rules about tool calls is probably not meant."""

from __future__ import annotations

from collections.abc import Iterator

from asgi_llmgate.cel import Expression, compile_rule
from asgi_llmgate.config.sections.safeguards import SafeguardRuleSettings, SafeguardsSettings
from asgi_llmgate.errors import SettingsError
from asgi_llmgate.safeguards.rules import COMMANDS
from asgi_llmgate.safeguards.tool_variable import safeguard_fields

_LINE = "tool.input.command"


def advise_safeguards(safeguards: SafeguardsSettings) -> Iterator[SettingsError]:
    """The advice, each with the place in the settings."""
    fields, always = safeguard_fields(), ""
    for index, rule in enumerate(safeguards.rules):
        path = f"safeguards.rules[{index}].when"
        try:
            expression = compile_rule(rule.when, variables=fields)
        except SettingsError:
            continue  # there is nothing to advise about what is wrong
        if always:
            yield SettingsError(f"never decides: rule {always!r} before it fits every call", path=path)
        elif rule.mode == "enforce" and expression.node.constant is True:
            always = rule.name
        for advice in _about_rule(rule, expression):
            yield SettingsError(advice, path=path)
    if safeguards.undecided == "pass":
        advice = (
            "a call that no rule flags runs without a question, whatever it is; unsupported leaves it to the client"
        )
        yield SettingsError(advice, path="safeguards.undecided")
    if safeguards.classifier is not None and safeguards.undecided not in ("classifier", None):
        advice = f"it is asked about nothing, since undecided is {safeguards.undecided}"
        yield SettingsError(advice, path="safeguards.classifier")


def _about_rule(rule: SafeguardRuleSettings, expression: Expression) -> Iterator[str]:
    references = expression.references
    names_tool = bool({"tool.name", "tool.server"} & references) or "has(tool." in rule.when
    arguments = sorted(name for name in references if name.startswith("tool.input."))
    if arguments and not names_tool:
        effect = "flags all other tools, which lack it" if rule.outcome == "flag" else "fits other tools that have it"
        yield f'it reads {arguments[0]} of every tool, and so {effect}; begin with tool.name == "..." &&'
    elif COMMANDS in references and not names_tool and rule.outcome == "flag":
        yield f'{COMMANDS} is absent for all tools but Bash, and so they are flagged; begin with tool.name == "Bash" &&'
    if rule.outcome == "pass" and _LINE in references and COMMANDS not in references:
        yield f"what is chained, quoted or wrapped in the text of a command evades a pass rule; use {COMMANDS}"

"""300 answers about the syntaxes of tool calls, none of which is a call.

One part is a file of answers.  The other part is each syntax in each of the ways in which an answer shows one.  All
tools that the answers mention are declared, with schemas that accept anything.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.protocol.families.responses.test_leaked_calls import CALL, plan, told
from tests.protocol.responses import text

_FILE = Path(__file__).parent / "data" / "ordinary_answers.txt"
WRITTEN = [answer.rstrip("\n") for answer in re.split(r"(?m)^==== .*\n", _FILE.read_text("utf-8"))[1:]]

SNIPPETS = {
    "Hermes": CALL,
    "Qwen": "<tool_call>\n<function=Bash>\n<parameter=command>\nls\n</parameter>\n</function>\n</tool_call>",
    "Qwen, one line": "<function=Bash><parameter=command>ls</parameter></function>",
    "Llama": '<|python_tag|>{"name": "Bash", "parameters": {"command": "ls"}}<|eom_id|>',
    "Llama's tag": '<function=Bash>{"command": "ls"}</function>',
    "Mistral": '[TOOL_CALLS][{"name": "Bash", "arguments": {"command": "ls"}}]',
    "Mistral, since v11": '[TOOL_CALLS]Bash[ARGS]{"command": "ls"}</s>',
    "Kimi": (
        "<|tool_calls_section_begin|><|tool_call_begin|>functions.Bash:0<|tool_call_argument_begin|>"
        '{"command": "ls"}<|tool_call_end|><|tool_calls_section_end|>'
    ),
    "GLM": "<tool_call>Bash\n<arg_key>command</arg_key>\n<arg_value>ls</arg_value>\n</tool_call>",
    "DeepSeek": (
        '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>Bash<｜tool▁sep｜>{"command": "ls"}'
        "<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
    ),
    "DSML": (
        '<｜DSML｜function_calls>\n<｜DSML｜invoke name="Bash">\n<｜DSML｜parameter name="command" string="true">ls'
        "</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜function_calls>"
    ),
    "MiniMax": (
        '<minimax:tool_call>\n<invoke name="Bash">\n<parameter name="command">ls</parameter>\n'
        "</invoke>\n</minimax:tool_call>"
    ),
    "gpt-oss": '<|channel|>commentary to=functions.Bash <|constrain|>json<|message|>{"command": "ls"}<|call|>',
    "LM Studio": '[TOOL_REQUEST]{"name": "Bash", "arguments": {"command": "ls"}}[END_TOOL_REQUEST]',
}

WAYS = {
    "a fence": "This is how one is written:\n\n```\n{}\n```\n\nThe arguments are validated later.",
    "a fence at the end": "Add this to the test:\n\n```text\n{}\n```",
    "a fence that is never closed": "Here is the complete file.\n\n```text\n{}",
    "a fence in a list": "1. Start the server.\n2. Expect:\n\n   ```\n   {}\n   ```",
    "lines in the middle": "The server got\n\n{}\n\nand passed it on unchanged.",
    "lines at the end": "In this format a call of Bash is\n\n{}",
    "an example at the end": "For example:\n{}",
    "what a model writes": "Whenever a tool is needed, the model writes:\n\n{}",
    "what a parser expects": "## Input of the parser\n\n{}",
    "what leaked": "Your client shows what the parser missed:\n\n{}\n",
    "a log": "The log says: content={}",
    "inline code": "Search for `{}` in the transcripts.",
    "quotes": 'The string is "{}".',
    "a quotation": "> {}\n\nI did not run that.",
    "a table": "| format | text |\n|---|---|\n| this one | {} |",
    "indented": "It is\n\n    {}\n",
    "the text before speaks of it": "It begins with `<tool_call>` or `[TOOL_CALLS]`.\n\nHere it is in full.\n\n{}",
    "HTML": "<pre>\n{}\n</pre>",
}

ANSWERS = {f"written {number}": answer for number, answer in enumerate(WRITTEN)} | {
    f"{name}, {way}": frame.format(snippet) for name, snippet in SNIPPETS.items() for way, frame in WAYS.items()
}

ANYTHING = plan({name: {} for name in ("Bash", "Read", "Write", "get_weather", "Alice", "run")})


def test_there_are_enough() -> None:
    assert len(ANSWERS) >= 300
    assert len(WRITTEN) >= 100


@pytest.mark.parametrize("size", [1, 6, 10_000, None])
def test_no_answer_becomes_a_call(size: int | None) -> None:
    changed = {}
    for name, answer in ANSWERS.items():
        response = told(answer, size, where=ANYTHING)
        if response.content != [text(answer)] or response.translator.changed:
            changed[name] = response.content
    assert not changed, json.dumps(changed, indent=1, ensure_ascii=False)


@pytest.mark.parametrize("name", SNIPPETS)
def test_the_same_words_alone_are_a_call(name: str) -> None:
    """So the answers above are as close to a call as they can be."""
    assert told(SNIPPETS[name], 6, where=ANYTHING).message["stop_reason"] == "tool_use"
    assert told("I look at the folder.\n\n" + SNIPPETS[name], 6, where=ANYTHING).message["stop_reason"] == "tool_use"

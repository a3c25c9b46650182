"""Tool calls that a model server's parser left in the text, or in the reasoning.

The texts have the form of those in the reports that are named; names and values are others.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from asgi_llmgate.protocol.servers.columns import LEAKED_CALL_FORMATS
from asgi_llmgate.protocol.translation.response.plan import ResponsePlan
from tests.protocol.responses import PLAN, Told, call, calls, chunk, completion, sse, streamed, text, thinking, whole

STRING = {"type": "string"}


def schema(required: Sequence[str] = (), /, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


SCHEMAS: dict[str, dict[str, Any]] = {
    "Bash": schema(["command"], command=STRING, timeout={"type": "integer"}, run_in_background={"type": "boolean"}),
    "Read": schema(["file_path"], file_path=STRING, offset={"type": "number"}, limit={"type": "number"}),
    "Write": schema(["file_path", "content"], file_path=STRING, content=STRING),
    "Grep": schema(["pattern"], pattern=STRING, output_mode={"type": "string", "enum": ["content", "count"]}),
    "TodoWrite": schema(["todos"], todos={"type": "array", "items": {"type": "object"}}),
    "Task": schema(["prompt"], prompt=STRING, options={"anyOf": [{"type": "object"}, {"type": "null"}]}),
    "ExitPlanMode": schema(),
    "mcp__db__query": {"type": "object", "properties": {"sql": STRING, "rows": {"type": ["integer", "null"]}}},
    "get_weather": {"type": "object", "properties": {"city": STRING}},
}


def plan(schemas: dict[str, Any] = SCHEMAS, **more: Any) -> ResponsePlan:
    tools = [{"type": "function", "function": {"name": name, "parameters": value}} for name, value in schemas.items()]
    return ResponsePlan(
        message_id="msg_req_1",
        model="m",
        thinking=True,
        channels=True,
        leaked_calls=frozenset(LEAKED_CALL_FORMATS),
        tools=json.dumps(tools).encode(),
        **more,
    )


RESCUE = plan()


def told(
    words: str, size: int | None, *, field: str = "content", finish: str = "stop", where: ResponsePlan = RESCUE
) -> Told:
    """A response with these words, in pieces of `size`, or as one document."""
    if size is None:
        return whole(completion(finish, **{field: words}), where)
    pieces = [words[at : at + size] for at in range(0, len(words), size)]
    return streamed(sse(*(chunk(**{field: piece}) for piece in pieces), chunk(finish=finish)), where)


def written_calls(response: Told) -> list[tuple[str, Any]]:
    return [(block["name"], block["input"]) for block in response.content if block["type"] == "tool_use"]


LS = [("Bash", {"command": "ls"})]
CALL = '<tool_call>\n{"name": "Bash", "arguments": {"command": "ls"}}\n</tool_call>'

LEAKED: dict[str, tuple[str, str, list[tuple[str, Any]]]] = {
    # Hermes, Qwen 2.5 and 3
    "raullenchai/Rapid-MLX#171, json": (
        CALL,
        "",
        LS,
    ),
    "behind a sentence and a line": (
        "I will look at the folder first.\n\n" + CALL,
        "I will look at the folder first.\n\n",
        LS,
    ),
    "tenstorrent/tt-inference-server#4386: behind </think>": (
        "The user wants a listing.\n</think>\n\n" + CALL,
        "The user wants a listing.\n</think>\n\n",
        LS,
    ),
    "two in one tag, ollama/ollama#11621": (
        '<tool_call>\n{"name": "Bash", "arguments": {"command": "ls"}}\n'
        '{"name": "Read", "arguments": {"file_path": "a.py", "limit": 5}}\n</tool_call><|im_end|>',
        "",
        [*LS, ("Read", {"file_path": "a.py", "limit": 5})],
    ),
    "two tags, the last one not closed": (
        '<tool_call>{"name": "Bash", "arguments": {"command": "ls"}}</tool_call>\n<tool_call>\n'
        '{"name": "ExitPlanMode", "arguments": {}}',
        "",
        [*LS, ("ExitPlanMode", {})],
    ),
    "arguments as a string": (
        '<tool_call>\n{"name": "Bash", "arguments": "{\\"command\\": \\"ls\\"}"}\n</tool_call>',
        "",
        LS,
    ),
    "Qwen2.5-Coder's <tools>": ('<tools>\n{"name": "Bash", "arguments": {"command": "ls"}}\n</tools>', "", LS),
    "Hermes' <function_call>": (
        '<function_call>{"name": "Bash", "arguments": {"command": "ls"}}</function_call>',
        "",
        LS,
    ),
    "Nemotron's <TOOLCALL>": ('<TOOLCALL>[{"name": "Bash", "arguments": {"command": "ls"}}]</TOOLCALL>', "", LS),
    "the beginning of the next turn": (CALL + "\n<|im_end|>\n<|im_start|>", "", LS),
    "aaif-goose/goose#7776": (
        "Now I'll implement it according to the specification. Let me start with the main form.\n\n" + CALL,
        "Now I'll implement it according to the specification. Let me start with the main form.\n\n",
        LS,
    ),
    "ollama/ollama#13093: no <tool_call>": (
        "Let me check what's in there.\n\n<function=Bash>\n<parameter=command>\nls\n</parameter>\n"
        "</function>\n</tool_call>",
        "Let me check what's in there.\n\n",
        LS,
    ),
    "a line break inside of a string": (
        '<tool_call>\n{"name": "Write", "arguments": {"file_path": "a.py", "content": "x = 1\ny = 2"}}\n</tool_call>',
        "",
        [("Write", {"file_path": "a.py", "content": "x = 1\ny = 2"})],
    ),
    # bare JSON
    "anomalyco/opencode#46625": ('{"name":"Grep","arguments":{"pattern":"*"}}', "", [("Grep", {"pattern": "*"})]),
    "selfagency/opilot#149, over several lines": (
        '{\n"name": "Read",\n"arguments": {\n"file_path": "/src/AGENTS.md"\n}\n}',
        "",
        [("Read", {"file_path": "/src/AGENTS.md"})],
    ),
    "selfagency/opilot#149, two": (
        '{"name": "Read", "arguments": {"file_path": "a"}}\n{"name": "Bash", "arguments": {"command": "ls"}}',
        "",
        [("Read", {"file_path": "a"}), *LS],
    ),
    "NousResearch/hermes-agent#87900: no arguments": ('{"name": "ExitPlanMode"}', "", [("ExitPlanMode", {})]),
    "raullenchai/Rapid-MLX#700: Llama 3.1": (
        '\n{"name": "get_weather", "parameters": {"city": "Köln"}}',
        "\n",
        [("get_weather", {"city": "Köln"})],
    ),
    "Llama 3.2 with a type": (
        '{"type": "function", "name": "Bash", "parameters": {"command": "ls"}}',
        "",
        LS,
    ),
    "function as an object": (
        '{"type": "function", "function": {"name": "Bash", "arguments": {"command": "ls"}}}',
        "",
        LS,
    ),
    "function as a name": ('{"function": "Bash", "parameters": {"command": "ls"}}', "", LS),
    "ggml-org/llama.cpp#14697": (
        '{\n  "tool_calls": [\n    {\n      "name": "Bash",\n      "arguments": {\n        "command": "ls"\n      },\n'
        '      "id": "162875335"\n    }\n  ]\n}',
        "",
        LS,
    ),
    "llama.cpp's format for one call": ('{"tool_call": {"name": "Bash", "arguments": {"command": "ls"}}}', "", LS),
    "a list": ('[{"name": "Bash", "arguments": {"command": "ls"}}]', "", LS),
    # Llama
    "timtoole02/Camelid#335": ('<|python_tag|>{"name": "Bash", "parameters": {"command": "ls"}}', "", LS),
    "two, and the end of a message": (
        '<|python_tag|>{"name": "Bash", "parameters": {"command": "ls"}}; '
        '{"name": "Read", "parameters": {"file_path": "a"}}<|eom_id|>',
        "",
        [*LS, ("Read", {"file_path": "a"})],
    ),
    "vllm-project/vllm#16214: Llama 4": (
        '<|python_start|>{"name": "Bash", "parameters": {"command": "ls"}}<|python_end|>',
        "",
        LS,
    ),
    "Llama's function tag": ('Let me see.\n<function=Bash>{"command": "ls"}</function>', "Let me see.\n", LS),
    # Qwen's XML
    "lmstudio-ai/lmstudio-bug-tracker#2115": (
        "<tool_call>\n<function=Read>\n<parameter=file_path>\n/src/a.py\n</parameter>\n</function>\n</tool_call>",
        "",
        [("Read", {"file_path": "/src/a.py"})],
    ),
    "pwilkin/llama.cpp#9: three calls": (
        "Now I check the state.\n\n<tool_call>\n<function=Bash>\n<parameter=command>\n"
        "cd /src && git status\n</parameter>\n"
        "<parameter=timeout>\n5000\n</parameter>\n<parameter=run_in_background>\nFalse\n</parameter>\n</function>\n"
        "</tool_call>\n<tool_call>\n<function=Read>\n<parameter=file_path>\n/src/STATE.md\n</parameter>\n</function>\n"
        "</tool_call>\n<tool_call>\n<function=ExitPlanMode>\n</function>\n</tool_call>",
        "Now I check the state.\n\n",
        [
            ("Bash", {"command": "cd /src && git status", "timeout": 5000, "run_in_background": False}),
            ("Read", {"file_path": "/src/STATE.md"}),
            ("ExitPlanMode", {}),
        ],
    ),
    "without the tag around it, which the server took": (
        "<function=Write>\n<parameter=file_path>\na.html\n</parameter>\n<parameter=content>\n<p>\n"
        "  1 < 2\n</p>\n</parameter>\n"
        "</function>\n</tool_call>",
        "",
        [("Write", {"file_path": "a.html", "content": "<p>\n  1 < 2\n</p>"})],
    ),
    "vllm-project/vllm#44060: the end of a parameter inside of one": (
        "<tool_call>\n<function=Write>\n<parameter=file_path>\na.xml\n</parameter>\n"
        "<parameter=content>\n<parameter>\n  1\n"
        "</parameter>\nand more\n</parameter>\n</function>\n</tool_call>",
        "",
        [("Write", {"file_path": "a.xml", "content": "<parameter>\n  1\n</parameter>\nand more"})],
    ),
    "values by type": (
        '<function=TodoWrite>\n<parameter=todos>\n[{"content": "look"}]\n</parameter>\n</function>',
        "",
        [("TodoWrite", {"todos": [{"content": "look"}]})],
    ),
    "null where the schema has it": (
        "<function=Task>\n<parameter=prompt>\n7\n</parameter>\n<parameter=options>\nnull\n</parameter>\n</function>\n"
        "<function=mcp__db__query>\n<parameter=rows>\nNone\n</parameter>\n<parameter=tag>\nx y\n"
        "</parameter>\n</function>",
        "",
        [("Task", {"prompt": "7", "options": None}), ("mcp__db__query", {"rows": None, "tag": "x y"})],
    ),
    # GLM
    "waybarrios/vllm-mlx#797": (
        "<tool_call>Bash\n<arg_key>command</arg_key>\n<arg_value>ls</arg_value>\n</tool_call>",
        "",
        LS,
    ),
    "sgl-project/sglang#19925: GLM-5, on one line": (
        "I'll list the files.\n"
        "<tool_call>Bash<arg_key>command</arg_key><arg_value>ls</arg_value><arg_key>timeout</arg_key>"
        "<arg_value>5</arg_value></tool_call>",
        "I'll list the files.\n",
        [("Bash", {"command": "ls", "timeout": 5})],
    ),
    "alibaba/rtp-llm#525: GLM-4.7 without arguments": (
        "<tool_call>ExitPlanMode</tool_call>",
        "",
        [("ExitPlanMode", {})],
    ),
    "the token by which GLM waits for a result": (
        "<tool_call>Bash\n<arg_key>command</arg_key>\n<arg_value>ls</arg_value>\n</tool_call>\n<|observation|>",
        "",
        LS,
    ),
    # Mistral
    "raullenchai/Rapid-MLX#1071": ('[TOOL_CALLS]Grep[ARGS]{"pattern": "TODO"}', "", [("Grep", {"pattern": "TODO"})]),
    "ml-explore/mlx-lm#1374: a list": (
        '[TOOL_CALLS] [{"name": "Bash", "arguments": {"command": "ls"}}]</s>',
        "",
        LS,
    ),
    "ml-explore/mlx-lm#1448: two, behind a sentence": (
        'I\'ll search for both.[TOOL_CALLS]Grep[ARGS]{"pattern": "a"}[TOOL_CALLS]Grep[ARGS]{"pattern": "b"}',
        "I'll search for both.",
        [("Grep", {"pattern": "a"}), ("Grep", {"pattern": "b"})],
    ),
    "with an id, and without [ARGS]": (
        '[TOOL_CALLS]Bash[CALL_ID]abcDEF123[ARGS]{"command": "ls"}[TOOL_CALLS]Bash{"command": "ls"}',
        "",
        LS * 2,
    ),
    # Kimi
    "vybestack/llxprt-code#750": (
        "<|tool_calls_section_begin|>\n<|tool_call_begin|>functions.Bash:0<|tool_call_argument_begin|>"
        '{"command": "ls"}<|tool_call_end|>\n<|tool_calls_section_end|>',
        "",
        LS,
    ),
    "vllm-project/vllm#32216: without the section": (
        "Let me run it. <|tool_call_begin|>functions.Bash:3 <|tool_call_argument_begin|> "
        '{"command": "ls"} <|tool_call_end|>',
        "Let me run it. ",
        LS,
    ),
    "two, and the end of the turn": (
        "好的，我来查看。<|tool_calls_section_begin|><|tool_call_begin|>functions.Bash:0<|tool_call_argument_begin|>"
        '{"command": "ls"}<|tool_call_end|><|tool_call_begin|>functions.mcp__db__query:1<|tool_call_argument_begin|>'
        '{"sql": "select 1"}<|tool_call_end|><|tool_calls_section_end|><|im_end|>',
        "好的，我来查看。",
        [*LS, ("mcp__db__query", {"sql": "select 1"})],
    ),
    # DeepSeek
    "V3 and R1: a fence": (
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>Bash\n```json\n"
        '{"command": "ls"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜><｜end▁of▁sentence｜>',
        "",
        LS,
    ),
    "V3.1": (
        'I look.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>Bash<｜tool▁sep｜>{"command": "ls"}<｜tool▁call▁end｜>'
        '<｜tool▁call▁begin｜>Read<｜tool▁sep｜>{"file_path": "a"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
        "I look.",
        [*LS, ("Read", {"file_path": "a"})],
    ),
    "TokenRhythm/opensquilla#985: DSML": (
        '<｜DSML｜tool_calls>\n<｜DSML｜invoke name="Bash">\n<｜DSML｜parameter name="command" string="true">ls'
        '</｜DSML｜parameter>\n<｜DSML｜parameter name="timeout" string="false">5</｜DSML｜parameter>\n'
        "</｜DSML｜invoke>\n</｜DSML｜tool_calls>",
        "",
        [("Bash", {"command": "ls", "timeout": 5})],
    ),
    "vllm-project/vllm#48931: DSML without its beginning": (
        '<｜DSML｜invoke name="Bash">\n<｜DSML｜parameter name="command" string="true">ls</｜DSML｜parameter>\n'
        "</｜DSML｜invoke>\n</｜DSML｜tool_calls>",
        "",
        LS,
    ),
    "lsdefine/GenericAgent#804: other bars": (
        '<‖DSML‖tool_calls>\n<‖DSML‖invoke name="Bash">\n<‖DSML‖parameter name="command" string="true">ls'
        "</‖DSML‖parameter>\n</‖DSML‖invoke>\n</‖DSML‖tool_calls>",
        "",
        LS,
    ),
    # MiniMax
    "earendil-works/pi#368": (
        '<minimax:tool_call>\n<invoke name="Bash">\n<parameter name="command">ls</parameter>\n</invoke>\n'
        '<invoke name="Bash">\n<parameter name="command">pwd</parameter>\n</invoke>\n</minimax:tool_call>',
        "",
        [*LS, ("Bash", {"command": "pwd"})],
    ),
    "MiniMax-AI/MiniMax-M2.5#10: indented": (
        'I run it now.\n<minimax:tool_call>\n  <invoke name="Bash">\n    <parameter name="command">ls</parameter>\n'
        "  </invoke>\n</minimax:tool_call>",
        "I run it now.\n",
        LS,
    ),
    "anthropics/claude-code#77061: nothing around it": (
        'Done with the first part.\n\n<invoke name="Write">\n<parameter name="file_path">a.txt</parameter>\n'
        '<parameter name="content">\none\ntwo\n</parameter>\n</invoke>',
        "Done with the first part.\n\n",
        [("Write", {"file_path": "a.txt", "content": "one\ntwo"})],
    ),
    # gpt-oss
    "vllm-project/vllm#32587": (
        '<|channel|>commentary to=functions.Bash <|constrain|>json<|message|>{"command": "ls"}<|call|>',
        "",
        LS,
    ),
    "raullenchai/Rapid-MLX#480: without the tokens": ('commentary to=functions.Bash json{"command":"ls"}', "", LS),
    "lmstudio-ai/lmstudio-bug-tracker#942": (
        '<|start|>assistant<|channel|>commentary to=functions.Bash<|constrain|>json<|message|>{"command":"ls"}',
        "",
        LS,
    ),
    "behind a preamble": (
        "I will list the files.<|end|><|start|>assistant<|channel|>commentary to=functions.Bash "
        "<|constrain|>json<|message|>"
        '{"command": "ls"}<|call|>',
        "I will list the files.",
        LS,
    ),
    "the recipient in front of the channel": (
        '<|start|>assistant to=functions.Bash<|channel|>commentary json<|message|>{"command": "ls"}<|call|>',
        "",
        LS,
    ),
    # LM Studio
    "LM Studio's default": (
        '[TOOL_REQUEST]{"name": "Bash", "arguments": {"command": "ls"}}[END_TOOL_REQUEST]',
        "",
        LS,
    ),
}

SIZES = (1, 3, 7, 10_000, None)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("words", "before", "found"), LEAKED.values(), ids=LEAKED.keys())
def test_a_leaked_call_becomes_a_call(words: str, before: str, found: list[tuple[str, Any]], size: int | None) -> None:
    response = told(words, size)
    assert [block for block in response.content if block["type"] != "tool_use"] == ([text(before)] if before else [])
    assert written_calls(response) == found
    assert response.message["stop_reason"] == "tool_use"
    assert response.translator.changed == ["tool_calls.rescued"]
    ids = [block["id"] for block in response.content if block["type"] == "tool_use"]
    assert len(set(ids)) == len(ids)
    assert all(ids)


@pytest.mark.parametrize("words", [words for words, *_ in LEAKED.values()], ids=LEAKED.keys())
def test_without_the_column_it_stays_text(words: str) -> None:
    assert told(words, 7, where=PLAN).content == [text(words)]


TEXT: dict[str, str] = {
    "a tool that is not declared": '<tool_call>\n{"name": "Delete", "arguments": {"path": "/"}}\n</tool_call>',
    "one of two is not declared": CALL + '\n<tool_call>\n{"name": "Delete", "arguments": {}}\n</tool_call>',
    "a required argument is missing": '<tool_call>\n{"name": "Bash", "arguments": {"timeout": 5}}\n</tool_call>',
    "an unknown argument": '{"name": "Bash", "arguments": {"command": "ls", "cwd": "/"}}',
    "another type": '{"name": "Bash", "arguments": {"command": 5}}',
    "a number as a string": '{"name": "Bash", "arguments": {"command": "ls", "timeout": "5"}}',
    "a boolean as a number": '{"name": "Bash", "arguments": {"command": "ls", "timeout": true}}',
    "a value that the schema does not list": ('{"name": "Grep", "arguments": {"pattern": "a", "output_mode": "b"}}'),
    "arguments as a list": '{"name": "ExitPlanMode", "arguments": []}',
    "a further field": '{"name": "Bash", "arguments": {"command": "ls"}, "age": 5}',
    "NaN": '<tool_call>{"name": "Bash", "arguments": {"command": NaN}}</tool_call>',
    "cut off": '<tool_call>\n{"name": "Bash", "arguments": {"command": "ls',
    "cut off in XML": "<tool_call>\n<function=Bash>\n<parameter=command>\nls\n</parameter>",
    "anomalyco/opencode#33959: no end of a parameter": (
        "<function=Write>\n<parameter=file_path> a\n<parameter=content> b\n</parameter>\n</function>"
    ),
    "the same parameter twice": (
        "<function=Read>\n<parameter=file_path>\na\n</parameter>\n<parameter=file_path>\nb\n</parameter>\n</function>"
    ),
    "a type that the text does not have": (
        "<function=Bash>\n<parameter=command>\nls\n</parameter>\n<parameter=timeout>\nsoon\n</parameter>\n</function>"
    ),
    "text behind it": CALL + "\nThat is how it is done.",
    "text between two": CALL + "\nAnd then:\n" + CALL,
    "a fence": f"```\n{CALL}\n```",
    "a fence that is not closed": f"Here you are:\n\n```xml\n{CALL}",
    "a fence of tildes": f"~~~~\n```\n{CALL}",
    "inline code": f"`{CALL}`",
    "quotes": f'"{CALL}"',
    "a quotation": "> " + CALL.replace("\n", "\n> "),
    "indented": "    " + CALL,
    "behind words": f"Write {CALL}",
    "a colon": 'So:[TOOL_CALLS]Bash[ARGS]{"command": "ls"}',
    "an explanation": f"A model asks for a tool in this format:\n\n{CALL}",
    "an explanation in Chinese": f"例如：\n{CALL}",
    "spoken of before": f"First `<tool_call>` comes.\n\n\n{CALL}",
    "behind the end of the turn": f"Hello!<|im_end|>\nHi\n\n{CALL}",
    "a channel that is not a call": "<|channel|>commentary to=user<|message|>{}\n" + CALL,
    "what a file contains": f"I read a.md. It contains a single line.\n\n{CALL}",
    "what a file says": f"The file says:\n\n{CALL}",
    "what a page told the model to write": f"The page asks me to reply with this text, which I do not.\n\n{CALL}",
    "a document": f"# Notes\n\nBuy milk.\n\n{CALL}",
    "a document with another heading": f"Notes\n=====\n\n{CALL}",
    "a terminal": f"$ cat a.md\n{CALL}",
    "a comment that is not closed": f"<!--\n{CALL}",
    "a quotation before": f"> Buy milk.\n\n{CALL}",
    "a fence before": f"```\n{CALL}\n```\nLet me try it.\n\n{CALL}",
    "bare JSON behind a line": 'Now.\n{"name": "Bash", "arguments": {"command": "ls"}}',
    "JSON of something else": '{"name": "Alice", "age": 31}',
    "JSON of something else, in a list": '[{"id": 1, "name": "Bash"}, {"id": 2, "name": "Read"}]',
    "only the tag": "<tool_call>",
    "only a section": "<|tool_calls_section_begin|>",
    "an empty list": "[TOOL_CALLS][]",
    "a tag like it": "<tool_calling>\n",
    "a tag and a name": "<tool_call> is where a call begins",
    "Kimi without arguments": "<|tool_calls_section_begin|><|tool_call_begin|>functions.Bash:0<|tool_call_end|>",
    "HTML": "<s>old</s> and <b>new</b>\n<table>\n<tr><td>1 < 2</td></tr>\n</table>",
    "HTML that ends like a turn": "It is <s>old</s>",
    "a token in quotes": 'It ends with "<|im_end|>"',
    "code": "```python\nx = a[0] < b\n```\n[1]: {}\n{}\n",
    "a sentence": "common sense\nand\ncommentary\nassistant\nassistantcommentary to=",
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("words", TEXT.values(), ids=TEXT.keys())
def test_anything_else_stays_text(words: str, size: int | None) -> None:
    response = told(words, size)
    assert response.content == [text(words)]
    assert response.message["stop_reason"] == "end_turn"
    assert response.translator.changed == []


@pytest.mark.parametrize("words", [words for words, *_ in LEAKED.values()], ids=LEAKED.keys())
def test_escaped_as_go_does_it(words: str) -> None:
    """Ollama's encoder writes `<` and `>` as escapes."""
    data = msgspec.json.encode(chunk(content=words)).replace(b"<", rb"\u003c").replace(b">", rb"\u003e").decode()
    response = streamed(sse(data, chunk(finish="stop")), RESCUE)
    assert response.translator.changed == ["tool_calls.rescued"]


CHANNELS: dict[str, tuple[str, list[dict[str, Any]], list[tuple[str, Any]]]] = {
    "ggml-org/llama.cpp#15181": (
        "<|channel|>analysis<|message|>A greeting.<|end|><|start|>assistant<|channel|>final<|message|>Hello!<|return|>",
        [thinking("A greeting."), text("Hello!")],
        [],
    ),
    "lablup/mlxcel#654": (
        "<|channel|>analysis<|message|>I need the file.<|end|><|start|>assistant<|channel|>commentary "
        'to=functions.Bash <|constrain|>json<|message|>{"command": "ls"}<|call|>',
        [thinking("I need the file.")],
        LS,
    ),
    "only the end of the heads": ("<|channel|>final<|message|>Hello!", [text("Hello!")], []),
    "a preamble": (
        "<|channel|>commentary<|message|>First I look<|end|><|start|>assistant<|channel|>commentary to=functions.Bash"
        '<|constrain|>json<|message|>{"command": "ls"}',
        [text("First I look")],
        LS,
    ),
    "reasoning without an end": (
        "<|channel|>analysis<|message|>One.<|start|>assistant<|channel|>analysis<|message|>Two.<|channel|>final<|message|>3",
        [thinking("One.Two."), text("3")],
        [],
    ),
    "an end of the turn": ("Hello!<|im_end|>\n", [text("Hello!")], []),
    "two of them": ("Hello!\n\n<|eot_id|></s>", [text("Hello!\n\n")], []),
    "nothing else": ("<|im_end|>", [text("")], []),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("words", "before", "found"), CHANNELS.values(), ids=CHANNELS.keys())
def test_control_tokens(
    words: str, before: list[dict[str, Any]], found: list[tuple[str, Any]], size: int | None
) -> None:
    response = told(words, size)
    assert [block for block in response.content if block["type"] != "tool_use"] == before
    assert written_calls(response) == found


@pytest.mark.parametrize("finish", ["length", "content_filter"])
def test_a_model_that_was_stopped_made_no_call(finish: str) -> None:
    assert told(CALL, 5, finish=finish).content == [text(CALL)]


@pytest.mark.parametrize("size", SIZES)
def test_beside_a_real_call_nothing_is_rescued(size: int | None) -> None:
    if size is None:
        real = whole(
            completion("tool_calls", content=CALL, tool_calls=[call(id="a", name="Bash", args='{"command":"ls"}')]),
            RESCUE,
        )
    else:
        pieces = [chunk(content=CALL[at : at + size]) for at in range(0, len(CALL), size)]
        real = streamed(
            sse(*pieces, calls(call(id="a", name="Bash", args='{"command":"ls"}')), chunk(finish="tool_calls")), RESCUE
        )
    assert [block["type"] for block in real.content] == ["text", "tool_use"]
    assert real.content[0] == text(CALL)


def test_behind_a_real_call_nothing_is_rescued() -> None:
    events = [
        calls(call(id="a", name="Bash", args='{"command":"ls"}')),
        chunk(content="\n" + CALL),
        chunk(finish="stop"),
    ]
    assert [block["type"] for block in streamed(sse(*events), RESCUE).content] == ["tool_use", "text"]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shown", [True, False])
@pytest.mark.parametrize("behind", ["", "\n\n"])
@pytest.mark.parametrize(
    "name", ["pwilkin/llama.cpp#9: three calls", "vybestack/llxprt-code#750", "waybarrios/vllm-mlx#797"]
)
def test_reasoning_that_ends_in_a_call(name: str, behind: str, shown: bool, size: int | None) -> None:
    """MoonshotAI/Kimi-K2#89, vllm-project/vllm#39056: the model forgot to end its reasoning."""
    words, _, found = LEAKED[name]
    words, where = "The model of this table looks like an example.\n" + words, replace(RESCUE, thinking=shown)
    if size is None:
        response = whole(completion("stop", reasoning_content=words, content=behind), where)
    else:
        pieces = [chunk(reasoning_content=words[at : at + size]) for at in range(0, len(words), size)]
        response = streamed(sse(*pieces, chunk(content=behind), chunk(finish="stop")), where)
    assert response.translator.changed == ["tool_calls.rescued"]
    assert written_calls(response) == found
    assert [block["type"] for block in response.content if block["type"] != "tool_use"] == ["thinking"] * shown


@pytest.mark.parametrize("size", [1, 10_000])
def test_reasoning_before_an_answer_stays_reasoning(size: int) -> None:
    words = "I could write\n" + CALL
    pieces = [chunk(reasoning_content=words[at : at + size]) for at in range(0, len(words), size)]
    response = streamed(sse(*pieces, chunk(content="\n"), chunk(content="It is 5."), chunk(finish="stop")), RESCUE)
    assert response.content == [thinking(words), text("\nIt is 5.")]


def test_reasoning_behind_a_text_stays_reasoning() -> None:
    events = [chunk(content="It is 5."), chunk(reasoning_content="Or\n" + CALL), chunk(finish="stop")]
    assert [block["type"] for block in streamed(sse(*events), RESCUE).content] == ["text", "thinking"]


def test_reasoning_behind_a_call_in_the_text() -> None:
    events = [chunk(content=CALL), chunk(reasoning_content="Hm."), chunk(finish="stop")]
    assert streamed(sse(*events), RESCUE).content == [text(CALL), thinking("Hm.")]


def test_a_refusal_behind_a_call() -> None:
    events = [chunk(content=CALL), chunk(refusal="No."), chunk(finish="stop")]
    assert streamed(sse(*events), RESCUE).content == [text(CALL + "No.")]


def test_the_name_is_the_client_s() -> None:
    response = told(CALL.replace("Bash", "B"), 5, where=plan({"B": SCHEMAS["Bash"]}, names={"B": "Bash"}))
    assert written_calls(response) == LS


def test_no_finish_reason() -> None:
    assert written_calls(streamed(sse(chunk(content=CALL)), RESCUE)) == LS


def test_a_stream_that_breaks_off() -> None:
    response = streamed(sse(chunk(content="Now.\n"), chunk(content=CALL), done=False), RESCUE)
    assert response.error["type"] == "api_error"
    assert written_calls(response) == []

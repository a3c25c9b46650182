"""Whatever bytes a client sends: they are refused as the client's mistake, or become a chat request that a strict
server takes."""

from __future__ import annotations

import json

from asgi_llmgate.errors import InvalidRequest, StructureTooLarge
from asgi_llmgate.exchange_values import Target
from asgi_llmgate.protocol.messages.request import decode_messages
from asgi_llmgate.protocol.servers.dialects import DIALECTS
from asgi_llmgate.protocol.translation.request.chat_request import Options, to_chat
from asgi_llmgate.testing.model_server import complaint

ROWS = [(DIALECTS[name], model) for name, model in (("openai", "gpt-4o"), ("openai", "gpt-5.4"), ("vllm", "qwen3"))] + [
    (DIALECTS[name], "m") for name in ("ollama", "llamacpp", "openrouter", "deepseek", "generic")
]
OPTIONS = [
    Options(),
    Options(repair_tool_pairs=True, unsupported_tools="drop", tool_references="schemas"),
    Options(strict=True, unsupported_tools="reject", max_output_tokens=9, extra_body={"seed": 1}),
]

BLOCKS = [
    b'{"type":"text","text":"x","cache_control":{}}',
    b'{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}',
    b'{"type":"document","title":"t","source":{"type":"content","content":[{"type":"text","text":"x"}]}}',
    b'{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"AAAA"}}',
    b'{"type":"search_result","title":"t","source":"s","content":[]}',
    b'{"type":"compaction","content":"c","tool_changes":[{"type":"tool_removal","tool":{"name":"A"}}]}',
    b'{"type":"server_tool_use","id":"s","name":"web_search","input":{}}',
]
TURNS = [
    *(b'{"role":"user","content":[%b]}' % block for block in BLOCKS),
    b'{"role":"assistant","content":[{"type":"thinking","thinking":"hm"},{"type":"text","text":"x"}]}',
    b'{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"A.b","input":{"x":[1]}}]},'
    b'{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","is_error":true,'
    b'"content":[{"type":"tool_reference","tool_name":"B"},%b]},{"type":"text","text":"go on"}]}' % BLOCKS[1],
    b'{"role":"system","clear_at":"next_user_message","output_config":{"effort":"max"},"content":[{"type":"tool_addition"'
    b',"tool":{"type":"tool_definition","definition":{"name":"C","input_schema":{"type":"object"}}}}]}',
]
MORE = [
    b"",
    b'"system":[{"type":"text","text":"x-anthropic-billing-header: y"}],"stream":true,"metadata":{"user_id":"u"},',
    b'"tools":[{"name":"A.b","input_schema":{"type":"object"},"strict":true},{"name":"B","defer_loading":true},'
    b'{"type":"web_search_20250305","name":"w"}],"tool_choice":{"type":"any","disable_parallel_tool_use":true},',
    b'"thinking":{"type":"enabled","budget_tokens":9},"output_config":{"format":{"type":"json_schema","schema":{}}},'
    b'"stop_sequences":["a"," "],"temperature":1,"top_k":2,"prefill":"p","inference_geo":"global",',
]
SEEDS = [
    b'{"model":"m",%b"max_tokens":9,"messages":[{"role":"user","content":"hi"},%b]}' % (more, turn)
    for turn in TURNS
    for more in MORE
]
AT_ONCE = 1
"""Seeds that make sense one after the other."""
TOKENS = [
    b'"',
    b"{}",
    b"[]",
    b"null",
    b"true",
    b"-1",
    b"1e999",
    b"\\ud800",
    b"\xf0\x9f",
    b"\\u0000",
    b",",
    b":",
    b"type",
]


def target(data: bytes) -> None:
    """The first byte chooses the model server, the second the operator's options; the rest is the body."""
    if len(data) < 2:
        return
    (dialect, model), options = ROWS[data[0] % len(ROWS)], OPTIONS[data[1] % len(OPTIONS)]
    try:
        request = decode_messages(data[2:])
        assert request.input_tokens_estimate > 0
        assert isinstance(request.has_images, bool)
        assert request.tool_names is not None
        chat = to_chat(
            request,
            target=Target("b", "p", model),
            dialect=dialect,
            options=options,
            request_id="req_1",
            session_id="s",
        )
    except (InvalidRequest, StructureTooLarge):
        return
    if chat.local_text is None:
        sent = json.loads(chat.body)
        assert complaint(sent) == ""
        names = [tool["function"]["name"] for tool in sent.get("tools", ())]
        assert len(names) == len(set(names))
        assert "tool_choice" not in sent or names

"""A model that llama.cpp loads like any other, small enough to be made by a test, and always of the same opinion.

It is a Llama of one layer whose attention and feed-forward weights are zero, so that the next token depends on the last
one alone, and the output matrix is a table of which token follows which.  So it says SAYS after the assistant's turn
has begun, thinks THINKS first where its template asks it to, and where a grammar forbids it to end after SAYS (a tool
has to be called) it opens a tool call, whose rest is the grammar's.  Tokens are bytes and the template's own marks.

Run by the Python of the side environment, since it needs `gguf` and `numpy`: `python small_model.py MODEL.gguf`.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import numpy
from gguf import GGUFWriter, TokenType

SAYS = "Hi, world."
THINKS = "Am"

PAD, BEGIN, END = "<|pad|>", "<|im_start|>", "<|im_end|>"
THINK, THOUGHT, CALL, CALLED = "<think>", "</think>", "<tool_call>", "</tool_call>"
MARKS = {
    **dict.fromkeys((PAD, BEGIN, END), TokenType.CONTROL),
    **dict.fromkeys((THINK, THOUGHT, CALL, CALLED), TokenType.USER_DEFINED),
}

TEMPLATE = """
{%- if tools %}<|im_start|>system
{%- if messages[0].role == 'system' %}
{{ messages[0].content }}
{%- endif %}
# Tools
<tools>
{%- for tool in tools %}
{{ tool | tojson }}
{%- endfor %}
</tools>
For each function call, return a json object within <tool_call></tool_call> tags:
<tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call><|im_end|>
{%- elif messages[0].role == 'system' %}<|im_start|>system
{{ messages[0].content }}<|im_end|>
{%- endif %}
{%- for message in messages %}
{%- if message.role == 'system' and not loop.first %}
{{- raise_exception('System message must be at the beginning.') }}
{%- elif message.role == 'user' or message.role == 'assistant' and not message.tool_calls %}
<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{%- elif message.role == 'assistant' %}
<|im_start|>assistant
{%- if message.reasoning_content %}<think>{{ message.reasoning_content }}</think>{% endif %}
{%- if message.content %}
{{ message.content }}
{%- endif %}
{%- for tool_call in message.tool_calls %}
<tool_call>
{"name": "{{ tool_call.function.name }}", "arguments": {{ tool_call.function.arguments | tojson }}}
</tool_call>
{%- endfor %}<|im_end|>
{%- elif message.role == 'tool' %}
<|im_start|>user
<tool_response>
{{ message.content }}
</tool_response><|im_end|>
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
<|im_start|>assistant
{% if enable_thinking is not defined or enable_thinking %}<think>{% endif %}
{%- endif %}"""
"""The form of Qwen3's, which many models have: llama.cpp finds out by itself how a model with it calls and thinks."""

_WIDTH, _HEADS = 320, 10
_SURELY, _RATHER = 2.0, 1.0


def write(path: Path) -> None:
    """The model as a GGUF file of some 2 MB."""
    names = _byte_names()
    tokens = [*MARKS, *names, names[0x20] * 2]
    model = GGUFWriter(path, "llama")
    model.add_context_length(4096)
    model.add_embedding_length(_WIDTH)
    model.add_block_count(1)
    model.add_feed_forward_length(32)
    model.add_head_count(_HEADS)
    model.add_head_count_kv(_HEADS)
    model.add_rope_dimension_count(_WIDTH // _HEADS)
    model.add_layer_norm_rms_eps(1e-5)
    model.add_vocab_size(len(tokens))
    model.add_tokenizer_model("gpt2")
    model.add_tokenizer_pre("default")
    model.add_token_list(tokens)
    model.add_token_types([*MARKS.values()] + [TokenType.NORMAL] * (len(tokens) - len(MARKS)))
    model.add_token_merges([f"{names[0x20]} {names[0x20]}"])
    model.add_pad_token_id(tokens.index(PAD))
    model.add_bos_token_id(tokens.index(BEGIN))
    model.add_eos_token_id(tokens.index(END))
    model.add_add_bos_token(False)
    model.add_chat_template(TEMPLATE)
    for name, weights in _weights(len(tokens)).items():
        model.add_tensor(name, weights.astype(numpy.float32))
    model.write_header_to_file()
    model.write_kv_data_to_file()
    model.write_tensors_to_file()
    model.close()


def _weights(tokens: int) -> dict[str, numpy.ndarray]:
    zeros, ones = numpy.zeros, numpy.ones
    return {
        "token_embd.weight": numpy.eye(tokens, _WIDTH),
        "output_norm.weight": ones(_WIDTH),
        "output.weight": _what_follows_what(tokens),
        "blk.0.attn_norm.weight": ones(_WIDTH),
        "blk.0.ffn_norm.weight": ones(_WIDTH),
        "blk.0.ffn_gate.weight": zeros((32, _WIDTH)),
        "blk.0.ffn_up.weight": zeros((32, _WIDTH)),
        "blk.0.ffn_down.weight": zeros((_WIDTH, 32)),
        **{f"blk.0.attn_{name}.weight": zeros((_WIDTH, _WIDTH)) for name in ("q", "k", "v", "output")},
    }


def _what_follows_what(tokens: int) -> numpy.ndarray:
    """A row for each token that may follow, a column for each that may stand before it."""
    number = {mark: place for place, mark in enumerate(MARKS)}
    number |= {chr(byte): len(MARKS) + byte for byte in range(128)}
    table = numpy.zeros((tokens, _WIDTH))
    table[[number[blank] for blank in "\t\n\r "]] = -1.0  # a grammar allows blanks everywhere: they are not wanted
    for before, after in (
        *pairwise(["\n", *SAYS, END]),
        *pairwise([THINK, *THINKS, THOUGHT, SAYS[0]]),
        (CALL, "\n"),
        (">", END),
    ):
        table[number[after], number[before]] = _SURELY
    table[number[CALL], number[SAYS[-1]]] = _RATHER
    return table


def _byte_names() -> list[str]:
    """GPT-2's printable name for each byte."""
    plain = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(byte) if byte in plain else chr(next(others)) for byte in range(256)]


if __name__ == "__main__":
    write(Path(sys.argv[1]))

from __future__ import annotations

import pytest

from asgi_llmgate.protocol.chat.harmony_channels import HarmonyChannels

ANALYSIS, FINAL, START = "<|channel|>analysis<|message|>", "<|channel|>final<|message|>", "<|start|>assistant"


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
@pytest.mark.parametrize(
    ("words", "reasoning", "text"),
    [
        ("Hello", "", "Hello"),
        ("", "", ""),
        ("<|chan", "", "<|chan"),
        ("<|channel|>other<|message|>x", "", "<|channel|>other<|message|>x"),
        (" " + ANALYSIS + "x", "", " " + ANALYSIS + "x"),
        (ANALYSIS + "x", "x", ""),
        (ANALYSIS + "x<|en", "x<|en", ""),
        (ANALYSIS + "x<|end|>", "x", ""),
        (ANALYSIS + "x<|end|>y", "x", "y"),
        (ANALYSIS + "a<b <|else|><|end|>" + START + FINAL + "y<|end|>", "a<b <|else|>", "y<|end|>"),
        (START + ANALYSIS + "x" + FINAL + "y" + ANALYSIS, "x", "y" + ANALYSIS),
        (ANALYSIS + "x<|end|>" + START + "<|channel|>commentary to=A", "x", START + "<|channel|>commentary to=A"),
        ((ANALYSIS + "x<|end|>") * 18, "x" * 16, (ANALYSIS + "x<|end|>") * 2),
    ],
)
def test_channels(words: str, reasoning: str, text: str, size: int) -> None:
    channels = HarmonyChannels()
    read = {"thinking": b"", "text": b"", "refusal": b""}
    for at in range(0, len(words), size):
        piece = words[at : at + size].encode()
        for kind, raw in [("text", piece)] if channels.settled else list(channels.split(piece)):
            read[kind] += raw
    if not channels.settled:
        kind, raw = channels.rest()
        read[kind] += raw
    assert (read["thinking"].decode(), read["text"].decode()) == (reasoning, text)

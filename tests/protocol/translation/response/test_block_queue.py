from __future__ import annotations

from asgi_llmgate.protocol.buffer_limit import BufferLimit
from asgi_llmgate.protocol.chat.tool_calls import AssembledCall
from asgi_llmgate.protocol.translation.response.block_queue import BlockQueue


def test_neighbours_of_one_kind_are_one_entry_and_calls_are_one_each() -> None:
    retained = BufferLimit()
    queue, first, second = BlockQueue(retained), AssembledCall(1), AssembledCall(2)
    for kind, content in [("text", b"a"), ("text", b"b"), ("thinking", b"c"), ("call", first), ("call", second)]:
        queue.put(kind, content)  # type: ignore[arg-type]
    assert len(queue) == 4
    assert retained.size > 3
    found = [queue.pop() for _ in range(4)]
    assert found == [("text", b"ab"), ("thinking", b"c"), ("call", first), ("call", second)]
    assert retained.size == 0

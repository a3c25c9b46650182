from __future__ import annotations

from typing import Any

import pytest

from asgi_llmgate.errors import InvalidRequest
from asgi_llmgate.protocol.servers.capabilities import without_capabilities
from asgi_llmgate.protocol.servers.corrections.changes import Corrections
from asgi_llmgate.protocol.servers.dialects import DIALECTS
from asgi_llmgate.protocol.servers.wordings.capabilities import Capability

IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
PDF = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}}


def test_a_conversation_is_written_as_for_a_dialect_that_lacks_it(translate: Any) -> None:
    missing = frozenset[Capability]({"images", "documents", "mid_system", "same_role_twice", "json_schema"})
    schema = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    told = translate(
        more={"corrections": Corrections(missing=missing)},
        messages=[{"role": "user", "content": [IMAGE, PDF]}, {"role": "system", "content": "Mind the gap."}],
        output_config={"format": {"type": "json_schema", "schema": schema}},
    )
    assert [message["role"] for message in told.messages] == ["system", "user"]
    assert "Mind the gap." in str(told.messages[1])
    assert "response_format" not in told.body
    assert not {"image_url", "file"}.intersection(part["type"] for part in told.messages[1]["content"])
    assert {name.rpartition(".")[2] for name in told.dropped} >= {"image", "document", "format"}


def test_a_gateway_that_refuses_what_it_cannot_do_refuses_it(translate: Any) -> None:
    with pytest.raises(InvalidRequest, match="image: not supported by this gateway"):
        translate(
            more={"corrections": Corrections(missing=frozenset({"images"}))},
            options={"strict": True},
            messages=[{"role": "user", "content": [IMAGE]}],
        )


def test_a_dialect_that_lacks_nothing_is_the_row_itself() -> None:
    assert without_capabilities(DIALECTS["openai"], frozenset()) is DIALECTS["openai"]
    assert without_capabilities(DIALECTS["openai"], frozenset({"images"})) is without_capabilities(
        DIALECTS["openai"], frozenset({"images"})
    )

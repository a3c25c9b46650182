"""`capability_rejected` makes Claude Code leave a feature out for the rest of a session: only a sentence about the
model may say so."""

from __future__ import annotations

import json
from typing import Any

import pytest

from asgi_llmgate.errors import UpstreamError
from asgi_llmgate.protocol.servers.errors.actionable import capability_token
from asgi_llmgate.protocol.servers.errors.upstream_errors import upstream_error

REFUSALS = [
    ("Invalid content type. image_url is only supported by certain models.", "image_block"),
    ("This model does not support image inputs.", "image_block"),
    ("Model gemma-3-1b does not support vision", "image_block"),
    ("Image inputs are not supported by this model", "image_block"),
    ("Multimodal processing is not enabled. Use --enable-multimodal flag", "image_block"),
    ("unsupported content type: image_url", "image_block"),
    ("Unsupported image type: multimodal data is not supported", "image_block"),
    ("At most 8 image(s) may be provided in one request.", "media_budget"),
    ("image exceeds 5 MB maximum: 6000000 bytes > 5242880 bytes", "media_budget"),
    ("Too many images and documents: 101 + 0 > 100", "media_budget"),
    ("PDF documents are not supported by this model", "document_block"),
    ("This model does not support file inputs", "document_block"),
    ("unsupported content type: file", "document_block"),
    ("System role not supported", "mid_conv_system"),
    ("response_format json_schema is not supported by this model", "structured_outputs_unsupported"),
    ("This model does not support structured outputs", "structured_outputs_unsupported"),
    ("reasoning_effort is not supported by this model", "effort_unsupported"),
]

OTHERS = [
    # another sense of the words
    "Unsupported file encoding in tool 'Read'",
    "tool `read_file` is not supported: it has no description",
    "The file /src/documents.py is not supported by the linter",
    "Function 'get_image' is not supported in parallel",
    "tools.3.function: unsupported keyword 'contentMediaType' in property 'image'",
    "Invalid schema for function 'ImageSearch': 'oneOf' is not supported",
    "Invalid schema for function 'open_file': unsupported type 'date'",
    "Invalid value for 'document_id': unsupported format",
    "Invalid schema for response_format 'answer': In context=(), 'oneOf' is not permitted.",
    "json_schema keyword 'patternProperties' is not supported",
    "Could not process image: unsupported MIME type image/tiff",
    "Image URL is not supported: host cannot be reached",
    "The prompt `imagine` is not supported",
    # other errors that name a feature
    "Rate limit reached for images per minute",
    "You have exceeded the limit of 10 images per minute",
    "parallel_tool_calls is not supported",
    "temperature is not supported with this model",
    "unknown field 'system_fingerprint'",
    "stream_options not supported",
    "unknown model 'vision-large'",
    "model 'llava-vision' is not supported",
    "No deployment supports the model image-gen-1",
]


def refused(text: str, status: int = 400) -> UpstreamError:
    return upstream_error(status, json.dumps({"error": {"message": text}}).encode(), {})


@pytest.mark.parametrize(("text", "token"), REFUSALS)
def test_a_sentence_about_the_model_names_its_feature(text: str, token: str) -> None:
    assert capability_token(text) == token
    assert refused(text).client_message == f"capability_rejected: {token}: {text}"


@pytest.mark.parametrize("text", OTHERS)
def test_no_other_sentence_does(text: str) -> None:
    assert capability_token(text) is None
    assert "capability_rejected" not in refused(text).client_message


@pytest.mark.parametrize(("text", "token"), REFUSALS)
@pytest.mark.parametrize(
    "quote",
    [
        "1 validation error: {{'type': 'missing', 'loc': ('body', 'x'), 'msg': 'Field required', 'input': '{}'}}",
        "Value error, bad role [type=value_error, input_value={{'content': '{}'}}, input_type=dict]",
        "messages.0.content: Input should be a valid string, got: ```{}```",
    ],
    ids=["vLLM", "pydantic", "marked"],
)
def test_nor_does_a_quotation(text: str, token: str, quote: str) -> None:
    assert capability_token(quote.format(text)) is None


@pytest.mark.parametrize(("text", "token"), REFUSALS)
def test_nor_do_words_far_behind(text: str, token: str) -> None:
    filler = "The request could not be read. " * 20
    assert capability_token(filler + text) is None


@pytest.mark.parametrize("status", [401, 402, 404, 429, 503, 529])
@pytest.mark.parametrize(("text", "token"), REFUSALS)
def test_nor_does_an_error_of_another_kind(status: int, text: str, token: str) -> None:
    assert "capability_rejected" not in refused(text, status).client_message


def test_a_list_of_complaints_counts_as_well() -> None:
    body: dict[str, Any] = {"detail": [{"loc": ["body", "response_format"], "msg": "json_schema is not supported"}]}
    error = upstream_error(422, json.dumps(body).encode(), {})
    assert error.client_message.startswith("capability_rejected: structured_outputs_unsupported: ")

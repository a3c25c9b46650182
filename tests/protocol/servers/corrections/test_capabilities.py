from __future__ import annotations

import json

import pytest

from asgi_llmgate.protocol.servers.corrections.changes import Corrections
from asgi_llmgate.protocol.servers.corrections.table import find_corrections
from asgi_llmgate.protocol.servers.wordings.capabilities import Capability


@pytest.mark.parametrize(
    ("status", "error", "missing"),
    [
        (400, "Invalid content type. image_url is only supported by certain models.", {"images"}),
        (400, "openai/gpt-oss-20b is not a multimodal model", {"images"}),
        (400, "At most 0 image(s) may be provided in one prompt.", {"images"}),
        (500, "image input is not supported - hint: if this is unexpected, you may need the mmproj", {"images"}),
        (400, "this model is missing data required for image input", {"images"}),
        (404, "No endpoints found that support image input", {"images"}),
        (400, "Failed to deserialize: messages[3]: unknown variant `image_url`, expected `text`", {"images"}),
        (400, "Invalid value: 'file'. Supported values are: 'text', 'image_url'.", {"documents"}),
        (400, "This model does not support file content types.", {"documents"}),
        (400, "Unknown part type: file", {"documents"}),
        (400, "System message must be at the beginning.", {"mid_system"}),
        (
            400,
            "After the optional system message, conversation roles must alternate user/assistant/user/...",
            {"mid_system", "same_role_twice", "user_after_tool"},
        ),
        (
            400,
            "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.",
            {"json_schema"},
        ),
        (400, "This response_format type is unavailable now", {"json_schema"}),
    ],
)
def test_what_a_model_says_that_it_lacks(status: int, error: str, missing: set[Capability]) -> None:
    body = json.dumps({"error": {"message": error}})
    [correction] = find_corrections(status, body)
    assert correction.changes == Corrections(missing=frozenset(missing))


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, "Unsupported image format: image/tiff"),
        (400, "The image is larger than 20 MB"),
        (400, "You uploaded an unsupported image. Please make sure your image is valid."),
        (429, "This model does not support images"),
        (400, "bad request: " + "x" * 400 + "the user says that this model does not support images"),
    ],
    ids=["a format", "a size", "one image", "another status", "a quoted request"],
)
def test_what_says_nothing_about_the_model(status: int, error: str) -> None:
    assert find_corrections(status, error) == ()

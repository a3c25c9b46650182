"""K18: a model that cannot see says so in many words: a text stands for the image, and the session goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from asgi_llmgate.protocol.servers.dialects import derive

PNG = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
PDF = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}}
CALL = {"type": "tool_use", "id": "t", "name": "Read", "input": {}}
MESSAGES = [
    {"role": "user", "content": [{"type": "text", "text": "look"}, PNG]},
    {"role": "assistant", "content": [CALL]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [PNG]}]},
]

NO_IMAGES: list[tuple[Any, int]] = [
    ("Invalid content type. image_url is only supported by certain models.", 400),
    (
        {
            "message": "ValueError: Received multimodal data but multimodal processing is not enabled. Use "
            "--enable-multimodal flag to enable multimodal processing.",
            "type": "internal_server_error",
            "code": 500,
        },
        500,
    ),
    ("openai/gpt-oss-20b is not a multimodal model", 400),
    ("At most 0 image(s) may be provided in one prompt.", 422),
    ({"object": "error", "message": "Image input is not enabled for this model", "code": "3051"}, 400),
    ("Invalid request: Image input not supported for model kimi-k2-turbo-preview", 400),
    ("Image inputs are not supported by this model.", 400),
    (
        "<400> InternalError.Algo.InvalidParameter: The provided messages contain image_url, which this model cannot "
        "process",
        400,
    ),
    ({"error": "this model does not support image input (ref: b8bd630e)"}, 400),
    ("This model does not support image inputs", 400),
    ({"error": "Model does not support images. Please use a model that does."}, 400),
    ({"code": 500, "message": "image input is not supported by this server", "type": "server_error"}, 500),
    ("image input is not supported - hint: if this is unexpected, you may need to provide the mmproj", 500),
    ("The server was not compiled for multimodal or the model projector can't be loaded.", 500),
    ("No endpoints found that support image input", 404),
    ({"error": {"message": 'model "gpt-5" not supported for vision', "code": ""}}, 400),
    ("Image input modality is not enabled for models/gemma-3-1b-it", 400),
    ("Multi-modal inputs are not supported by this model", 400),
    ("this model cannot process images", 400),
    (
        {
            "detail": "Input should be 'text' [type=literal_error, loc=messages.0.content.list.1.type, "
            "input='image_url']"
        },
        422,
    ),
    ("Failed to deserialize the JSON body: messages[0]: unknown variant `image_url`, expected `text`", 422),
    ("Unsupported content part type for text-only server: image_url", 400),
    ("Content type 'image_url' is not supported by model llama-4", 400),
    ("This model doesn't support the image content block that you provided.", 400),
    ("messages.content.type \u53c2\u6570\u975e\u6cd5\uff0c\u53d6\u503c\u8303\u56f4 ['text']", 400),
    ("The parameter messages.content.type specified in the request are not valid: invalid value", 400),
    # Zhipu's through a proxy that escapes it
    ("messages.content.type \\u53c2\\u6570\\u975e\\u6cd5\\uff0c\\u53d6\\u503c\\u8303\\u56f4 ['text']", 400),
]
NO_PARTS: list[tuple[Any, int]] = [
    (
        "'messages.0' : for 'role:user' the following must be satisfied[('messages.0.content' : value "
        "must be a string)]",
        400,
    ),
    ("messages[0].content must be a string", 400),
    (
        "Failed to deserialize the JSON body into the target type: messages[0].content: invalid type: "
        "sequence, expected a "
        "string at line 5 column 19",
        422,
    ),
    (
        {
            "detail": [
                {
                    "type": "string_type",
                    "loc": ["body", "messages", 0, "content"],
                    "msg": "Input should be a valid string",
                }
            ]
        },
        422,
    ),
    ("Type mismatch for 'messages.1.content' key, expected 'String' type", 400),
    ("json: cannot unmarshal array into Go struct field ChatMessage.messages.content of type string", 400),
    ("unsupported content[].type", 500),
    ({"code": "invalid argument", "error": "The model expects a single `text` element per message."}, 400),
    ({"error": {"message": 'can only concatenate str (not "list") to str', "type": "internal_server_error"}}, 500),
    ("messages.0.content: expected string, received array", 400),
]


@pytest.mark.parametrize(("error", "status"), NO_IMAGES)
def test_a_text_stands_for_each_image(correct: Callable[..., Any], error: Any, status: int) -> None:
    sent = correct(error, status, messages=MESSAGES)
    assert "image_url" not in str(sent.body)
    assert "look" in str(sent.messages[0])
    assert str(sent.body).count("an image was here that this model cannot be shown") == 2
    assert "messages[].content[].image" in sent.dropped


@pytest.mark.parametrize(("error", "status"), NO_PARTS)
def test_content_is_one_text_where_no_parts_are_accepted(correct: Callable[..., Any], error: Any, status: int) -> None:
    blocks = [{"type": "text", "text": 'one "1"'}, {"type": "text", "text": "two"}]
    sent = correct(error, status, messages=[{"role": "user", "content": blocks}, *MESSAGES[1:]])
    assert sent.messages[0]["content"] == 'one "1"\ntwo'
    sent = correct(error, status, messages=MESSAGES)
    assert all(isinstance(message["content"], str | None) for message in sent.messages)
    assert "look" in sent.messages[0]["content"]
    assert "messages[].content[].image" in sent.dropped


def test_a_server_that_takes_no_list_says_so_in_the_words_about_images(correct: Callable[..., Any]) -> None:
    # AstrBotDevs/AstrBot#9293
    error = "messages.content.type \u53c2\u6570\u975e\u6cd5\uff0c\u53d6\u503c\u8303\u56f4 ['text']"
    texts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    sent = correct(error, messages=[{"role": "user", "content": texts}])
    assert sent.messages == [{"role": "user", "content": "one\ntwo"}]
    sent = correct(error, times=2, messages=MESSAGES)
    assert all(isinstance(message["content"], str | None) for message in sent.messages)


def test_a_dialect_without_parts_has_no_images_and_documents(translate: Any) -> None:
    for images in ("all", "data"):
        dialect = derive("generic", {"content_parts": False, "images": images, "pdf": "file"})
        told = translate(dialect=dialect, messages=[{"role": "user", "content": [PNG, PDF]}])
        assert told.messages[0]["content"].count("was here that this model cannot be shown") == 2


@pytest.mark.parametrize(
    "error",
    [
        "Unsupported image format: image/tiff",
        "This model does not support image inputs of type image/heic",
        "The image is larger than 20 MB",
        "You uploaded an unsupported image. Please make sure your image is valid.",
        "Image size is not supported: 9000 x 9000",
        "This image is not supported: webp",
        "messages.0.content.1.image.source.base64: image exceeds 5 MB maximum",
        "messages.0.content: Field required",
    ],
)
def test_a_complaint_about_one_image_leaves_all_of_them(correct: Callable[..., Any], error: str) -> None:
    assert str(correct(error, messages=MESSAGES).body).count("image_url") == 4

from __future__ import annotations

from typing import Any

import pytest

from asgi_llmgate.errors import InvalidRequest
from asgi_llmgate.protocol.servers.corrections.changes import Corrections

PNG = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
LINK = {"type": "image", "source": {"type": "url", "url": "https://img.example/a.png"}}
PDF = {
    "type": "document",
    "title": "plan.pdf",
    "source": {"type": "base64", "media_type": "application/pdf", "data": "A" * 4000},
}
PDF_LINK = {"type": "document", "source": {"type": "url", "url": "https://files.example/a.pdf"}}
TEXT = {"type": "text", "text": "look"}

DATA_URL = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
NO_IMAGE = "[an image was here that this model cannot be shown]"


def user(*blocks: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(blocks)}]}


@pytest.mark.parametrize(
    ("dialect", "block", "part", "dropped"),
    [
        ("openai", PNG, DATA_URL, set()),
        ("openai", LINK, {"type": "image_url", "image_url": {"url": "https://img.example/a.png"}}, set()),
        ("ollama", PNG, DATA_URL, set()),
        ("ollama", LINK, NO_IMAGE, {"messages[].content[].image"}),
        ("deepseek", PNG, NO_IMAGE, {"messages[].content[].image"}),
        ("openai", {"type": "image", "source": {"type": "hologram"}}, NO_IMAGE, {"messages[].content[].image"}),
    ],
    ids=["by value", "by url", "by value where only that is taken", "by url there", "no vision", "unknown source"],
)
def test_an_image_is_shown_or_told(translate: Any, dialect: str, block: Any, part: Any, dropped: set[str]) -> None:
    told = translate(dialect=dialect, **user(TEXT, block))
    as_part = {"type": "text", "text": part} if isinstance(part, str) else part
    assert told.messages[0]["content"] == [{"type": "text", "text": "look"}, as_part]
    assert told.dropped == dropped


def test_case_56_documents_a_pdf_by_value_becomes_a_file_where_the_dialect_has_files(translate: Any) -> None:
    told = translate(**user(PDF, {**PDF, "title": None}))
    data = "data:application/pdf;base64," + "A" * 4000
    assert told.messages[0]["content"] == [
        {"type": "file", "file": {"filename": "plan.pdf", "file_data": data}},
        {"type": "file", "file": {"filename": "document.pdf", "file_data": data}},
    ]
    assert not told.dropped


@pytest.mark.parametrize(
    ("dialect", "block", "note"),
    [
        ("vllm", PDF, "[a document was here that this model cannot be shown: plan.pdf, 3 kB]"),
        ("openai", PDF_LINK, "[a document was here that this model cannot be shown: https://files.example/a.pdf]"),
        (
            "openai",
            {"type": "document", "source": {"type": "scroll"}},
            "[a document was here that this model cannot be shown: untitled]",
        ),
    ],
    ids=["no files in the dialect", "by url", "unknown source"],
)
def test_case_56_documents_that_cannot_be_shown_are_named_with_their_size(
    translate: Any, dialect: str, block: Any, note: str
) -> None:
    told = translate(dialect=dialect, **user(block))
    assert told.messages[0]["content"] == note
    assert told.dropped == {"messages[].content[].document"}


@pytest.mark.parametrize(
    ("block", "content"),
    [
        ({"source": {"type": "text", "media_type": "text/plain", "data": "a\nb"}}, "a\nb"),
        ({"title": "T", "context": "C", "source": {"type": "text", "data": "x"}}, "T\nC\nx"),
        ({"title": "T", "source": {"type": "content", "content": "x"}}, "T\nx"),
        (
            {"source": {"type": "content", "content": [{"type": "text", "text": "x"}, {"type": "text", "text": "y"}]}},
            "x\ny",
        ),
        ({"source": {"type": "content"}}, ""),
    ],
    ids=["text", "with title and context", "content string", "content blocks", "nothing"],
)
def test_case_56_documents_of_text_are_text(translate: Any, block: Any, content: str) -> None:
    told = translate(**user({"type": "document", **block}))
    assert told.messages[0]["content"] == content


def test_case_56_documents_of_content_keep_their_images(translate: Any) -> None:
    told = translate(**user({"type": "document", "source": {"type": "content", "content": [TEXT, PNG]}}))
    assert told.messages[0]["content"] == [{"type": "text", "text": "look"}, DATA_URL]


@pytest.mark.parametrize(
    ("block", "place"),
    [
        ({"type": "image", "source": {"type": "file", "file_id": "f"}}, "messages.0.content.1.file_id: "),
        ({"type": "document", "source": {"type": "file", "file_id": "f"}}, "messages.0.content.1.file_id: "),
        ({"type": "container_upload", "file_id": "f"}, "messages.0.content.1.file_id: "),
        (
            {"type": "image", "source": {"type": "base64", "media_type": "image/png"}},
            "messages.0.content.1.data: Field required",
        ),
        ({"type": "image", "source": {"type": "url"}}, "messages.0.content.1.url: Field required"),
    ],
    ids=["image file", "document file", "upload", "no data", "no url"],
)
def test_case_56_sources_that_nobody_here_holds_are_refused_by_name(translate: Any, block: Any, place: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        translate(**user(TEXT, block))
    assert refused.value.message.startswith(place)


def test_a_file_inside_a_tool_result_is_refused_with_the_place_of_the_result(translate: Any) -> None:
    call = {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "A", "input": {}}]}
    inner = [{"type": "image", "source": {"type": "file", "file_id": "f"}}]
    result = {"role": "user", "content": [TEXT, {"type": "tool_result", "tool_use_id": "t", "content": inner}]}
    with pytest.raises(InvalidRequest, match=r"^messages\.2\.content\.1\.file_id"):
        translate(messages=[{"role": "user", "content": "x"}, call, result])


def test_a_search_result_is_told_with_its_title_and_source(translate: Any) -> None:
    found = {"type": "search_result", "title": "T", "source": "https://s.example", "content": [TEXT], "citations": {}}
    told = translate(**user(found))
    assert told.messages[0]["content"] == "T\nhttps://s.example\nlook"
    assert told.dropped == {"messages[].content[].citations"}


def test_a_summary_of_what_was_compacted_stands_for_it(translate: Any) -> None:
    told = translate(**user({"type": "compaction", "content": "before: ...", "encrypted_content": "x"}, TEXT))
    assert told.messages[0]["content"] == [{"type": "text", "text": "before: ..."}, {"type": "text", "text": "look"}]
    assert translate(**user({"type": "compaction", "content": None}, TEXT)).messages[0]["content"] == "look"


@pytest.mark.parametrize(
    ("block", "text"),
    [
        (
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "é"}},
            '[server_tool_use] {"name":"web_search","input":{"query":"é"}}',
        ),
        (
            {
                "type": "web_search_tool_result",
                "tool_use_id": "s",
                "content": [
                    {"type": "web_search_result", "title": "T", "url": "https://u", "encrypted_content": "x" * 999}
                ],
            },
            '[web_search_tool_result] {"content":[{"title":"T","url":"https://u"}]}',
        ),
        ({"type": "never_heard_of", "n": 12345678901234567890123}, '[never_heard_of] {"n":12345678901234567890123}'),
    ],
    ids=["a call of a server tool", "its result", "unknown"],
)
def test_a_block_without_a_counterpart_is_told_in_words_and_reported(translate: Any, block: Any, text: str) -> None:
    told = translate(
        messages=[
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": [block]},
            {"role": "user", "content": "y"},
        ]
    )
    assert told.messages[1] == {"role": "assistant", "content": text}
    assert told.dropped == {f"messages[].content[].{block['type']}"}


@pytest.mark.parametrize("kind", ["redacted_thinking", "fallback", "mcp_tool_listing"])
def test_bookkeeping_is_left_out_and_reported(translate: Any, kind: str) -> None:
    told = translate(messages=[{"role": "user", "content": [TEXT, {"type": kind, "data": "x"}]}])
    assert told.messages == [{"role": "user", "content": "look"}]
    assert told.dropped == {f"messages[].content[].{kind}"}


def test_an_image_of_the_assistant_is_left_out_and_reported(translate: Any) -> None:
    told = translate(
        messages=[
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": [TEXT, PNG]},
            {"role": "user", "content": "y"},
        ]
    )
    assert told.messages[1] == {"role": "assistant", "content": "look"}
    assert told.dropped == {"messages[].content[].image"}


def test_of_more_images_than_a_model_takes_the_newest_are_shown(translate: Any) -> None:
    def picture(data: str) -> dict[str, Any]:
        return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}

    call = {"type": "tool_use", "id": "t", "name": "Read", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [picture("BBBB")]}
    told = translate(
        more={"corrections": Corrections(max_images=2)},
        messages=[
            {"role": "user", "content": [picture("AAAA")]},
            {"role": "assistant", "content": [call]},
            {"role": "user", "content": [result, picture("CCCC")]},
        ],
    )
    parts = [part for message in told.messages if isinstance(message["content"], list) for part in message["content"]]
    shown = [part["image_url"]["url"][-4:] for part in parts if part["type"] == "image_url"]
    assert shown == ["BBBB", "CCCC"]
    assert NO_IMAGE in str(told.messages[0]["content"])
    assert told.dropped == {"messages[].content[].image"}


@pytest.mark.parametrize("kind", ["document", "search_result"])
def test_what_a_document_holds_is_opened_once_and_what_that_holds_is_told(translate: Any, kind: str) -> None:
    inner = {"type": "text", "text": "deep"}
    for _ in range(3):
        source = {"type": "content", "content": [inner]}
        inner = {"type": "document", "source": source} if kind == "document" else {**source, "type": kind, "title": "t"}
    told = translate(**user(inner))
    assert f"messages[].content[].{kind}" in told.dropped
    assert f"[{kind}] " in str(told.messages[0]["content"])

"""Images and documents that Claude Code's Read tool puts into its results, where a tool message can hold text only."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from asgi_llmgate.testing.model_script import ReceivedRequest, Turn, call, refuse, say

if TYPE_CHECKING:
    from tests.e2e.claude_code.client import ClaudeCode
    from tests.e2e.conftest import Lab

pytestmark = pytest.mark.suites


def png(width: int, height: int) -> bytes:
    """A red rectangle."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + b"\xff\0\0" * width) * height
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def pdf() -> bytes:
    """One empty page, with the table of places that readers look objects up in."""
    objects = (
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 100 100]>>",
    )
    out, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj%sendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    rows = len(objects) + 1
    xref = b"xref\n0 %d\n0000000000 65535 f \n%strailer<</Size %d/Root 1 0 R>>" % (rows, table, rows)
    return out + xref + b"\nstartxref\n%d\n%%%%EOF\n" % len(out)


def read_both(gate: Lab, claude: ClaudeCode) -> list[dict[str, Any]]:
    """The messages with which the model is told what it has read: the assistant's, a tool's, a tool's, and maybe the
    user's."""
    (claude.folder / "red.png").write_bytes(png(8, 6))
    (claude.folder / "page.pdf").write_bytes(pdf())
    run = claude("What is in these files?", "--allowedTools", "Read", gate=gate)
    assert (run.result, run.is_error) == ("A red image, an empty page.", False)
    messages = gate.model.chats[-1].messages
    called = next(place for place, message in enumerate(messages) if message.get("tool_calls"))
    return messages[called:]


BOTH = call("Read", file_path="red.png") + call("Read", file_path="page.pdf")
ANSWER = say("A red image, an empty page.")


def test_an_image_and_a_pdf_reach_the_model(lab: Callable[..., Lab], claude: ClaudeCode) -> None:
    gate = lab([BOTH, ANSWER])
    _, image, document, attached = read_both(gate, claude)
    assert "attached image" in image["content"]
    assert "attached document" in document["content"]
    assert attached["role"] == "user"
    parts = {part["type"]: part for part in attached["content"]}
    assert parts["image_url"]["image_url"]["url"] == _data_url("image/png", png(8, 6))
    assert parts["file"]["file"]["file_data"] == _data_url("application/pdf", pdf())
    assert not {"image", "document"}.intersection(_dropped(gate))


@pytest.mark.parametrize("dialect", ["deepseek", {"base": "openai", "images": "none", "pdf": "none"}], ids=str)
def test_a_model_that_cannot_see_is_told_what_it_does_not_see(
    lab: Callable[..., Lab], claude: ClaudeCode, dialect: Any
) -> None:
    gate = lab([BOTH, ANSWER], backend={"dialect": dialect})
    _, image, document = read_both(gate, claude)
    assert image["content"] == "[an image was here that this model cannot be shown]"
    assert document["content"].startswith("PDF file read:")
    assert "[a document was here that this model cannot be shown" in document["content"]
    assert {"image", "document"} <= _dropped(gate)


@pytest.mark.parametrize(
    ("kind", "refusal"),
    [
        ("image_url", refuse(400, "Invalid content type. image_url is only supported by certain models.")),
        ("file", refuse(400, "This model does not support file content types.")),
    ],
)
def test_a_model_that_turns_out_not_to_see_is_told_instead(
    lab: Callable[..., Lab], claude: ClaudeCode, kind: str, refusal: Turn
) -> None:
    """Handed on, the refusal would end the conversation: what the client has read stays in all that it sends."""
    gate = lab([refusal.when(lambda request: kind in _parts(request)), BOTH, say("Anything else?"), ANSWER])
    (claude.folder / "red.png").write_bytes(png(8, 6))
    (claude.folder / "page.pdf").write_bytes(pdf())
    assert claude("What is in these files?", "--allowedTools", "Read", gate=gate).result == "Anything else?"
    assert claude("Say it again.", "--continue", gate=gate).result == "A red image, an empty page."
    asked, refused, *later = map(_parts, gate.model.chats)
    assert refused - asked == {"image_url", "file"}
    assert [parts - asked for parts in later] == [{"image_url", "file"} - {kind}] * 2


def test_a_model_that_takes_one_image_sees_the_newest(lab: Callable[..., Lab], claude: ClaudeCode) -> None:
    def shows_two(request: ReceivedRequest) -> bool:
        return str(request.messages).count("data:image/png") > 1

    (claude.folder / "red.png").write_bytes(png(8, 6))
    (claude.folder / "wide.png").write_bytes(png(16, 6))
    gate = lab(
        [
            refuse(400, "At most 1 image(s) may be provided in one prompt.").when(shows_two).always(),
            call("Read", file_path="red.png") + call("Read", file_path="wide.png"),
            ANSWER,
        ]
    )
    run = claude("What is in these files?", "--allowedTools", "Read", gate=gate)
    assert (run.result, run.is_error) == ("A red image, an empty page.", False)
    older, newer, attached = gate.model.chats[-1].messages[-3:]
    assert older["content"] == "[an image was here that this model cannot be shown]"
    assert "attached image" in newer["content"]
    assert [part["image_url"]["url"] for part in attached["content"] if part["type"] == "image_url"] == [
        _data_url("image/png", png(16, 6))
    ]


def _parts(request: ReceivedRequest) -> set[str]:
    contents = [message["content"] for message in request.messages if isinstance(message["content"], list)]
    return {part["type"] for parts in contents for part in parts}


def _data_url(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _dropped(gate: Lab) -> set[str]:
    return {name.rpartition(".")[2] for name in gate.records()[-1]["llmgate.dropped"]}

"""Runners for what calls a gateway: Claude Code, the SDKs, a test of one's own."""

from __future__ import annotations

import json
from typing import Any

import yaml

from tests.docs.code_blocks import BLOCKS
from tests.docs.lab_folder import Place, Runners

RUNNERS = Runners()


@RUNNERS.runs("client environment", "lab client")
def claude_code_is_pointed_at_it(text: str, place: Place) -> None:
    place.install_claude()
    printed = place.sh(text.replace("http://127.0.0.1:8080", place.serve_lab()))
    assert printed.startswith(("You said: Say hello.", "An API gateway is"))


@RUNNERS.runs("client model")
def a_model_name_of_its_own(text: str, place: Place) -> None:
    place.install_claude()
    report = place.sh(
        f'{text}\nclaude -p "Say hello." --output-format json',
        ANTHROPIC_BASE_URL=f"{place.serve_lab()}/llm",
        ANTHROPIC_AUTH_TOKEN=place.idp.mint(),
    )
    assert json.loads(report)["modelUsage"]["qwen3-coder"]["contextWindow"] == 131072


@RUNNERS.runs("an openai client")
def an_openai_client(text: str, place: Place) -> None:
    routes = {"/v1/chat/completions": "completions"}
    (place.folder / "llmgate.yaml").write_text(yaml.safe_dump(place.settings(routes=routes)))
    found: dict[str, Any] = {"TOKEN": place.idp.mint()}
    exec(text.replace("http://127.0.0.1:8080", place.serve_lab()), found)
    assert found["completion"].choices[0].message.content
    found["client"].close()


@RUNNERS.runs("an anthropic client")
def an_anthropic_client(text: str, place: Place) -> None:
    (place.folder / "llmgate.yaml").write_text(yaml.safe_dump(place.settings()))
    found: dict[str, Any] = {"TOKEN": place.idp.mint()}
    exec(text.replace("http://127.0.0.1:8080", place.serve_lab()), found)
    assert found["message"].content[0].text
    found["client"].close()


@RUNNERS.runs("test your gateway")
def a_test_of_ones_own(text: str, place: Place) -> None:
    for block in (block for block in BLOCKS if block.name == "test your gateway"):
        (place.folder / block.text.split()[1]).write_text(block.text)
    told = place.sh("python -m pytest -q -p no:cacheprovider -p no:asyncio -W error test_gateway.py test_stream.py")
    assert "3 passed" in told

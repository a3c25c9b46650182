from __future__ import annotations

import pytest

from asgi_llmgate.asgi import local_path
from asgi_llmgate.asgi.paths import is_under


@pytest.mark.parametrize(
    ("path", "root_path", "expected"),
    [
        pytest.param("/v1/messages", "", "/v1/messages", id="nobody mounts"),
        pytest.param("/llm/v1/messages", "/llm", "/v1/messages", id="Starlette and mount"),
        pytest.param("/a/b/v1/messages", "/a/b", "/v1/messages", id="nested mounts"),
        pytest.param("/proxy/llm/v1/messages", "/proxy/llm", "/v1/messages", id="uvicorn --root-path"),
        pytest.param("/llm/v1/messages", "/proxy/llm", "/v1/messages", id="hypercorn --root-path"),
        pytest.param("/a/b/v1/messages", "/x/y/a/b", "/v1/messages", id="hypercorn, nested on both sides"),
        pytest.param("/v1/messages", "/llm", "/v1/messages", id="Starlette before 0.33"),
        pytest.param("/v1/messages/", "", "/v1/messages", id="Litestar"),
        pytest.param("/llm/v1/messages", "/llm/", "/v1/messages", id="root_path with a slash at its end"),
        pytest.param("/llm/v1/messages", "llm", "/llm/v1/messages", id="root_path that is none"),
        pytest.param("/llm", "/llm", "/", id="the mount itself"),
        pytest.param("/llm/", "/llm", "/", id="the mount itself, with a slash"),
        pytest.param("/", "", "/", id="the root"),
        pytest.param("", "", "/", id="an empty path"),
        pytest.param("/llmfoo/v1", "/llm", "/llmfoo/v1", id="a longer name is another name"),
        pytest.param("/llm/llm/v1", "/llm", "/llm/v1", id="a prefix is taken once"),
        pytest.param("/v1/llm", "/llm", "/v1/llm", id="a prefix is at the front"),
        pytest.param("/LLM/v1", "/llm", "/LLM/v1", id="case counts"),
    ],
)
def test_the_path_under_the_mount(path: str, root_path: str, expected: str) -> None:
    assert local_path({"type": "http", "path": path, "root_path": root_path}) == expected


def test_a_scope_without_a_root_path_is_at_the_root() -> None:
    assert local_path({"type": "http", "path": "/v1/models"}) == "/v1/models"


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/llm", True), ("/llm/", True), ("/llm/v1", True), ("/llmfoo", False), ("/l", False), ("", False)],
)
def test_a_prefix_ends_at_a_slash(path: str, expected: bool) -> None:
    assert is_under(path, "/llm") is expected

"""LangChain's standard tests of a chat model, for its Anthropic model with GATE (a base URL) and TOKEN behind it.

Run by tests/e2e/suites/test_langchain.py, with the pytest of the environment that holds them.  The suite fetches a few
files from the web: it gets them from here.
"""

import base64
import os

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_tests.integration_tests import ChatModelIntegrationTests, chat_models

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)
PDF = b"""%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 100 100]>>endobj
trailer<</Size 4/Root 1 0 R>>
%%EOF
"""


class Fetched:
    """What the suite asks for; nothing of it is fetched."""

    def __init__(self, url):
        self.content = {".png": PNG, ".pdf": PDF}[url[-4:]]

    @classmethod
    def get(cls, url, **options):
        return cls(url)


@pytest.fixture(autouse=True)
def _no_web(monkeypatch):
    monkeypatch.setattr(chat_models, "httpx", Fetched)


MODEL = {
    "model": "claude-sonnet-4-5",  # newer ones always think, and LangChain then forces no tool
    "base_url": os.environ["GATE"],
    "api_key": os.environ["TOKEN"],
}


class TestChatAnthropic(ChatModelIntegrationTests):
    chat_model_class = ChatAnthropic
    chat_model_params = property(lambda self: MODEL)
    model_override_value = "claude-haiku-4-5"
    supports_image_inputs = True
    supports_image_urls = True
    supports_image_tool_message = True
    supports_pdf_inputs = True
    supports_pdf_tool_message = True
    supports_anthropic_inputs = True
    supported_usage_metadata_details = property(
        lambda self: dict.fromkeys(("invoke", "stream"), ("cache_read_input", "cache_creation_input"))
    )

    def invoke_with_cache_read_input(self, *, stream=False):
        return self._said(stream)

    def invoke_with_cache_creation_input(self, *, stream=False):
        return self._said(stream)

    def _said(self, stream):
        model = ChatAnthropic(**MODEL)
        if not stream:
            return model.invoke("Hello")
        first, *rest = model.stream("Hello")
        return sum(rest, start=first)


class TestStructuredOutputBySchema(ChatModelIntegrationTests):
    """The same, asked for with `output_config.format` where the class above forces a tool call."""

    chat_model_class = ChatAnthropic
    chat_model_params = property(lambda self: MODEL)
    structured_output_kwargs = property(lambda self: {"method": "json_schema"})
    test_structured_output_pydantic_2_v1 = None  # LangChain's method takes no classes of Pydantic 1


for _name in dir(ChatModelIntegrationTests):
    if _name.startswith("test_") and not _name.startswith("test_structured_output"):
        setattr(TestStructuredOutputBySchema, _name, None)

"""How much of a response is kept of what a model server decides the length of."""

from __future__ import annotations

MAX_METADATA = 256
"""Characters of a response's id, its model or its finish reason; a longer one is cut."""

MAX_TOOL_CALLS = 1024
"""Tool calls in one response."""

MAX_TOOL_NAME = 256
"""Characters of a tool's name.  Anthropic allows 128 in a request, OpenAI 64."""

MAX_CALL_ID = 64 * 1024
"""Characters of a tool call's id.  LiteLLM and agentgateway put Gemini's thought signatures into it: kilobytes."""

"""The model wrote something that its server could not read: the same request may succeed at the next try."""

from __future__ import annotations

import re

FAILED_GENERATION = re.compile(
    # Groq
    r"\btool_use_failed\b|\boutput_parse_failed\b|\bjson_validate_failed\b|failed to call a function"
    r"|failed_generation|model generated output that could not be parsed|tool call validation failed"
    # Ollama, llama.cpp, vLLM, SGLang, LMDeploy, and what stands behind them
    r"|error parsing tool call|failed to parse input at pos|error in extracting tool call"
    r"|failed to parse tool call(?! arguments)|harmonyerror|unexpected tokens remaining in message header"
    r"|unexpected token \d+ while expecting start token"
    # OpenAI
    r"|the model produced invalid content|invalid tool call generated"
)
"""`errors.classes`: in lower case.

llama.cpp's "Failed to parse tool call arguments" is not here: it is also about calls of the history, which fail again.
"""

"""A feature of the request is refused: errors on which the client leaves it out."""

from __future__ import annotations

import re

CAPABILITY_TOKENS = tuple(
    (re.compile(pattern, re.DOTALL), token)
    for pattern, token in (
        (r"at most [1-9]\d* image|too many images|image.{0,40}(?:too large|exceeds)", "media_budget"),
        (
            r"(?:image|vision|multimodal).{0,60}(?:not support|unsupported|not enabled|only supported by)"
            r"|(?:not support|unsupported|that support|unknown variant|unknown part type|data required for|at most 0)"
            r".{0,20}(?:image|vision|multimodal)|not a multimodal model",
            "image_block",
        ),
        (
            r"(?:\bpdf|\bfiles?\b|document).{0,40}(?:not support|unsupported)"
            r"|(?:not support|unsupported|that support|unknown variant|unknown part type)"
            r".{0,20}(?:\bpdf|\bfile|document)",
            "document_block",
        ),
        (
            r"system (?:message|role|prompt).{0,40}(?:at the beginning|not support|must be (?:the )?first)"
            r"|roles must alternate|only one system message",
            "mid_conv_system",
        ),
        (
            r"(?:response_format|json_schema|structured output).{0,80}(?:not support|unsupported|unavailable|unknown)"
            r"|(?:not support|unsupported|unknown).{0,40}(?:response_format|json_schema|structured output)",
            "structured_outputs_unsupported",
        ),
        (
            r"reasoning[_. ]effort.{0,80}(?:not support|unsupported|unrecognized|unknown|not permitted)"
            r"|(?:not support|unsupported|unrecognized|unknown).{0,40}reasoning[_. ]effort",
            "effort_unsupported",
        ),
    )
)
"""`errors.actionable`: a feature is refused; the token is Claude Code's name for it.  In lower case."""

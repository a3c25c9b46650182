"""The model does not take a feature of the request: errors on which the client leaves the feature out.

Claude Code does so for the rest of the session, so each of these is a sentence about the model.  One about this image,
that schema, or a tool whose name has such a word, is none.
"""

from __future__ import annotations

import re

_NOT = r"(?: is| are)? (?:not (?:supported|available|enabled|permitted)|unsupported|unavailable)"
_CANNOT = r"(?:does(?: not|n't)|do not|cannot|can't) (?:support|accept|process|handle|take)"
_END = r"(?: (?:by|for|with|on|in) |\W*$)"
_QUOTE = r"['`\"]?"

CAPABILITY_TOKENS = tuple(
    (re.compile(pattern), token)
    for pattern, token in (
        (
            r"at most [1-9]\d* image|too many images"
            r"|image (?:exceeds|is too large|too large|size exceeds|dimensions exceed)",
            "media_budget",
        ),
        (
            r"image_url is only supported by certain models|not a multimodal model|at most 0 image"
            r"|missing data required for image input|endpoints found that support image input"
            rf"|unknown (?:variant|part type):? {_QUOTE}image_url"
            r"|unsupported content (?:type|part)[^.]{0,20}image_url"
            rf"|multimodal (?:data|inputs?|content|processing){_NOT}|image (?:inputs?|content|understanding){_NOT}"
            rf"|{_CANNOT} (?:images?|image[_ ]urls?|image (?:inputs?|content)|vision|multimodal)\b"
            rf"|(?<![-\w/'`\"])(?:images?|vision|image_url){_NOT}{_END}|image_url, which this model cannot process",
            "image_block",
        ),
        (
            r"invalid value: 'file'|endpoints found that support (?:file|pdf)"
            rf"|unknown (?:variant|part type):? {_QUOTE}file\b|unsupported content (?:type|part)[^.]{{0,20}}\bfile\b"
            rf"|{_CANNOT} (?:files?|pdfs?|documents?|(?:file|pdf|document) (?:inputs?|content(?: types?)?))\b"
            rf"|\b(?:file|pdf|document) (?:inputs?|uploads?|content|documents?){_NOT}"
            rf"|(?<![-\w/'`\"])(?:pdfs?|documents){_NOT}{_END}",
            "document_block",
        ),
        (
            r"system (?:message|role|prompt)s?[^.]{0,40}(?:at the beginning|not support|must be (?:the )?first)"
            r"|roles must alternate|only one system message",
            "mid_conv_system",
        ),
        (
            r"(?:response_format|json_schema|structured outputs?)['`\"]?(?: (?:json_schema|type|parameter|field|mode))?"
            rf"(?: of type ['`]\w+['`])?{_NOT}"
            rf"|(?:{_CANNOT}|unsupported (?:parameter|value)?:?|(?:unknown|unrecognized)[^.]{{0,40}}:?) ?{_QUOTE}"
            r"(?:response_format|json_schema|structured outputs?)\b",
            "structured_outputs_unsupported",
        ),
        (
            r"reasoning[_. ]?effort[^.]{0,80}(?:not support|unsupported|unrecognized|unknown|not permitted)"
            r"|(?:not support|unsupported|unrecognized|unknown)[^.]{0,40}reasoning[_. ]?effort",
            "effort_unsupported",
        ),
    )
)
"""`errors.actionable`: the token is Claude Code's name for the feature.  In lower case."""

NO_CAPABILITY = re.compile(r"rate.?limit|\bper (?:min|hour|day)|too many requests")
"""`errors.actionable`: what CAPABILITY_TOKENS matches but means something else."""

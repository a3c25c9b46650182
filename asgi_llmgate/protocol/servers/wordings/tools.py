"""Tools: refused schemas, too many of them, names and descriptions that are not accepted, and the choice among them.

A pattern of a refused schema says which tool it is about with the group `tool` (its name) or `index` (its place in
`tools`); without either it is about all tools.
"""

from __future__ import annotations

import re

from asgi_llmgate.protocol.servers.wordings.flags import FLAGS


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, FLAGS)


_QUOTE = r"(?:\\?\"|['`])"

REFUSED_SCHEMAS: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...] = tuple(
    (_pattern(pattern), rewrites)
    for pattern, rewrites in (
        # OpenAI, Azure, DeepSeek, and those who took over their words
        (
            r"invalid schema for function '(?P<tool>[^']{1,128})': .{0,400}?(?P<telling>array schema missing items)",
            ("array_items",),
        ),
        (
            r"invalid schema for function '(?P<tool>[^']{1,128})': .{0,80}?"
            r"(?P<telling>schema must (?:have type|be a json schema of))",
            ("flat_root", "valid"),
        ),
        (
            r"invalid schema for function '(?P<tool>[^']{1,128})': .{0,400}?(?P<telling>object schema missing"
            r" properties)",
            ("object_properties",),
        ),
        (
            r"invalid schema for function '(?P<tool>[^']{1,128})': .{0,400}?"
            r"(?P<telling>is not of type|is not valid under|is not one of|is not a '?regex|reference|\$ref)",
            ("valid", "references"),
        ),
        (r"(?P<telling>invalid schema for function '(?P<tool>[^']{1,128})')", ("plain",)),
        # Gemini, Vertex
        (
            r"unable to submit request because `?(?P<tool>[\w.:-]{1,128})`? functiondeclaration "
            r"(?P<telling>`?parameters)",
            ("gemini",),
        ),
        (r"(?P<telling>functiondeclaration in the request exceeds the maximum allowed nesting depth)", ("shallow",)),
        (
            r"(?P<telling>schema produces a constraint that has too many states)",
            ("-minItems", "-maxItems", "-minLength", "-maxLength", "-pattern", "-format", "shallow"),
        ),
        # Moonshot: the path in it is one of the schema, which tool it is about is not said
        (r"(?P<telling>not a valid moonshot flavored json schema)", ("moonshot",)),
        (r"tools\.function\.parameters\.(?P<telling>type is required)", ("moonshot",)),
        # llama.cpp, LM Studio
        (
            r"(?P<telling>error resolving ref|unsupported ref:|json schema error at #)",
            ("grammar", "references"),
        ),
        (
            r"(?P<telling>json schema conversion failed|pattern must start with '\^'|failed to parse grammar"
            r"|error parsing grammar|unrecognized schema: )",
            ("grammar", "typed"),
        ),
        (
            r"\\?\"path\\?\": ?\[(?:\\?\"tools\\?\", ?)?(?P<index>\d{1,4}), ?(?P<telling>\\?\"function\\?\", ?"
            r"\\?\"parameters)",
            ("valid", "object_properties"),
        ),
        # Groq
        (
            r"invalid json schema for tool (?P<tool>[\w-]{1,128}), tools\[\d{1,4}\]\.function\.parameters: .{0,200}?"
            r"(?P<telling>'required' present but 'properties' is missing)",
            ("object_properties", "known_required"),
        ),
        (
            r"(?P<telling>invalid json schema for tool (?P<tool>[\w-]{1,128}))",
            ("valid", "references", "known_required"),
        ),
        (r"(?P<telling>schema is not valid json schema)", ("valid", "references")),
        # Fireworks
        (
            r"(?P<telling>json schema not supported: could not understand)",
            ("typed", "lone_any_of", "flat_root", "references", "boolean_schemas"),
        ),
        (r"(?P<telling>conflict in schema definitions for key 'pattern')", ("-pattern",)),
        # Anthropic, Bedrock
        (
            r"\btools\.(?P<index>\d{1,4})\.(?:custom\.)?(?P<telling>input_schema)",
            ("anthropic",),
        ),
        (r"toolconfig\.tools\.(?P<index>\d{1,4})\.toolspec\.(?P<telling>inputschema)", ("anthropic",)),
        # Mistral
        (
            r"(?P<telling>invalid tool schema|failed to compile json schema)",
            ("valid", "references", "-$schema", "-$id"),
        ),
        # vLLM, SGLang, TensorRT-LLM and what they compile schemas with
        (r"tool (?P<index>\d{1,4}) function has (?P<telling>invalid 'parameters' schema)", ("valid", "references")),
        (
            r"(?P<telling>json schema contains (?:features not supported|unsupported)"
            r"|(?:xgrammar|outlines|guidance|llguidance|lm-format-enforcer)\b[^.]{0,80}?(?:schema|grammar)"
            r"|failed to (?:convert|compile) (?:the )?(?:json[ _]schema|grammar))",
            ("plain",),
        ),
        # Ollama
        (
            r"(?P<telling>cannot unmarshal array into go struct field \w{0,40}\.tools\.function\.parameters"
            r"[\w.]{0,80}\.type)",
            ("single_types", "valid"),
        ),
        (
            r"(?P<telling>cannot unmarshal \w+ into go (?:struct field \w{0,40}\.tools\.function\.parameters"
            r"|value of type api\.tool(?:property|functionparameters)))",
            ("valid", "boolean_schemas"),
        ),
        # Tencent
        (r"(?P<telling>invalid function call parameters)", ("flat_root", "references", "valid")),
        # Volcengine
        (r"(?P<telling>invalid function format: )", ("valid", "typed", "references")),
        # any server that names the place
        (r"(?P<telling>\btools(?:\[|\.)(?P<index>\d{1,4})\]?\.(?:function\.)?parameters\b)", ("plain",)),
    )
)
"""`corrections`: a tool's schema is refused, and the rewrites (`schemas.rewrites`) that it needs, as a first step.  The
first pattern that fits counts."""

GEMINI_SCHEMAS = _pattern(
    r"(?P<telling>(?:(?:unknown name|invalid value at)[^.]{0,80}?(?:request\.)?|generatecontentrequest\.)"
    r"tools?\[\d{1,3}\]\.function_?declarations\[\d{1,4}\]\.parameters).*"
)
"""`corrections`: Gemini lists every keyword that it does not know, with the tools' places."""

GEMINI_PLACE = _pattern(r"function_?declarations\[(\d{1,4})\]\.parameters")
"""A tool's place in such a list."""

REFUSED_KEYWORDS = _pattern(r"(?P<telling>unsupported json schema fields): \{(?P<keywords>[^}]{1,400})\}")
"""`corrections`: keywords that Cerebras does not accept, in any tool."""

KEYWORD = re.compile(r"['\"](\$?[A-Za-z]{1,40})['\"]")

REFUSED_KEYWORD = _pattern(
    rf"(?P<telling>schema (?:keyword|field|property) {_QUOTE}(?P<keyword>\$?[a-z]{{1,40}}){_QUOTE}"
    r" (?:is )?not (?:supported|allowed|permitted))"
)
"""`corrections`: the same, one keyword."""

STRICT_SCHEMAS = (
    _pattern(
        r"(?P<telling>invalid schema for (?:function|response_format|text\.format)) '(?P<tool>[^']{1,128})': .{0,400}?"
        r"(?:is not permitted|'additionalproperties' is required|'required' is required|exceeds limit of"
        r"|must not share identical first keys|additionalproperties' must be)"
    ),
    _pattern(r"(?P<telling>invalid schema for response_format) '(?P<tool>[^']{1,128})'"),
    _pattern(
        r"(?P<telling>invalid json schema for tool (?P<tool>[\w-]{1,128})), .{0,300}?"
        r"additionalproperties:false must be set"
    ),
    _pattern(r"(?P<telling>`?strict`? mode on function call is currently not supported)"),
)
"""`corrections`: a schema is refused because of `strict`, which restricts schemas further, or `strict` itself is."""

MAX_TOOLS = _pattern(
    r"'?tools'?: array too long\. expected an array with maximum length (?P<telling>\d{1,4})"  # OpenAI, Azure
    r"|'tools' ?: maximum number of items is (?P<telling2>\d{1,4})"  # Groq
    r"|at most (?P<telling3>\d{1,4}) (?:tools|functions?(?: declarations)?)\b"  # Gemini
    r"|number of (?:tools|functions) (?:exceeds|must not exceed|cannot exceed|is limited to) (?P<telling4>\d{1,4})"
    r"|(?:maximum|max\.?|limit)(?: number)? of tools(?: allowed)?(?: is|:) ?(?P<telling5>\d{1,4})"
    r"|(?:maximum|max\.?|limit|up to)(?: of)? (?P<telling6>\d{1,4}) (?:tools|functions)\b"
)
"""`corrections`: how many tools one request may have."""

MAX_DESCRIPTION = _pattern(
    r"function\.description'?: string too long\. expected a string with maximum length (?P<telling>\d{1,6})"  # OpenAI
    r"|toolspec\.description[^.]{0,200}?length less than or equal to (?P<telling2>\d{1,6})"  # Bedrock
    r"|tool descriptions? (?:must be|is limited to|cannot exceed|exceeds)[^.\d]{0,40}(?P<telling3>\d{3,6})"
)
"""`corrections`: how many characters the description of a tool may have."""

LETTER_FIRST = _pattern(
    r"(?P<telling>function[_ ]name[^.]{0,40}?\.? ?must (?:start|begin) with (?:a letter|an? alphabet))"
)
"""`corrections`: names of tools begin with a letter; Moonshot, Gemini."""

NO_NAMED_CHOICE = _pattern(
    r"(?P<telling>invalid tool_choice type: '?object)"  # LM Studio
    r"|tool_choice\b[^.]{0,80}(?P<telling2>(?:must be|should be) (?:a string|a valid string|one of))"
    r"|(?P<telling3>(?:named|specific)(?: function)? tool[_ ]choice)[^.]{0,40}not (?:supported|allowed)"
)
"""`corrections`: the choice of one tool is not accepted."""

NO_CHOICE_WHILE_THINKING = _pattern(
    r"(?P<telling>tool_choice\b[^.]{0,60}(?:incompatible|not compatible|not supported|not support)[^.]{0,80}thinking)"
    r"|(?P<telling2>thinking(?: mode)?\b[^.]{0,40}(?:does not support|incompatible with|may not be enabled when)"
    r"[^.]{0,40}tool_choice)"
)
"""`corrections`: a tool cannot be demanded while the model thinks; Moonshot, Qwen, DeepSeek, Anthropic."""

NO_FORCED_CHOICE = _pattern(
    r"tool_choice\b[^.]{0,40}(?P<telling>['\"`]?required\b[^.]{0,20}(?:is )?(?:not (?:yet )?supported|unsupported))"
    r"|tool_choice['\"`\\]{0,2} (?P<telling3>must either be a named tool, \\?\"auto)"  # vLLM before 0.8
    r"|(?P<telling4>tool_choice value as required is enabled only for)"  # Azure
    r"|'\$\.(?P<telling5>tool_choice' is invalid\. please check the api reference)"  # Azure, earlier
    r"|(?P<telling6>invalid value for ['\"`\\]{0,2}tool_choice)['\"`\\]{0,2}: ['\"`\\]{0,2}required"
    r"|(?P<telling2>only ['\"`\\]{0,2}auto['\"`\\]{0,2}[^.]{0,40}tool_choice|tool_choice\b[^.]{0,40}only supports?"
    r" ['\"`\\]{0,2}auto)"
)
"""`corrections`: no call can be demanded at all."""

NO_CHOICE = _pattern(
    r"(?:unsupported|unknown|unrecognized|unexpected)[^.]{0,40}?(?P<telling>\btool_choice\b)"
    r"|(?P<telling2>\btool_choice\b['\"`\\]{0,2}\]?[^.,]{0,40}?(?:is not supported|not permitted|unsupported"
    r"|extra_forbidden))"
    r"|bedrock doesn't support (?P<telling3>tool_choice)="
)
"""`corrections`: the parameter itself is not accepted."""

HISTORY_NEEDS_TOOLS = _pattern(
    r"(?P<telling>support tool calling without `tools=`)"  # LiteLLM
    r"|(?P<telling2>`tool_use` or `tool_result` blocks must define tools)"
    r"|(?P<telling3>toolconfig field must be defined when using)"  # Bedrock
)
"""`corrections`: a conversation with tool calls in it needs declared tools."""

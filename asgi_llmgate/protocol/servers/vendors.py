"""Rows of the dialect table for vendors that run the models themselves.

What a row was checked against is on the page docs/reference/dialects.md, "What the rows were checked against". A column
is only set where the vendor documents the habit, or where a public report shows it; whatever else a vendor refuses is
corrected at the first refusal (`corrections`).
"""

from __future__ import annotations

from asgi_llmgate.protocol.servers.columns import Dialect, Family

MISTRAL = Dialect(
    name="mistral",
    user_after_tool=False,  # error 3230: zed#37021, mistral-vibe#578
    last_assistant="prefix",  # rig#1130
    call_ids="nine",  # opencode#1680, gptel#1203
    include_usage=False,  # the last chunk has the usage, and an unknown field is a 422
    user=False,
    prompt_cache_key=True,
)

GEMINI = Dialect(
    name="gemini",
    images="data",
    stop_max=5,
    reasoning="effort",
    efforts=("none", "minimal", "low", "medium", "high"),
    tool_schemas=frozenset({"gemini"}),
    parallel_tool_calls=False,  # TheAgenticAI/TheAgenticBrowser#4
    call_signatures="google",
    user=False,
    # Their thinking cannot be switched off.
    families=(Family(("*gemini-2.5-pro*", "*gemini-[3-9]*"), {"efforts": ("minimal", "low", "medium", "high")}),),
)

GROQ = Dialect(
    name="groq",
    stop_max=4,
    max_tools=128,
    families=(Family(("*gpt-oss*",), {"reasoning": "effort", "efforts": ("low", "medium", "high")}),),
)

MOONSHOT = Dialect(
    name="moonshot",
    images="data",
    reasoning_history="reasoning_content",
    reasoning_scope="calls",  # litellm fills it in for each call, too
    sampling=frozenset(),  # the Kimi models take one temperature only
    reasoning="toggle",
    response_format="json_object",
    tool_schemas=frozenset({"moonshot"}),
    tool_names="letter_first",  # kimi-cli#2531
    choice_while_thinking=False,  # eino#994
    leaked_calls=("kimi",),
    families=(
        # These always think, so that a call cannot be demanded.
        Family(
            ("kimi-k3*",),
            {"reasoning": "effort", "efforts": ("low", "high", "max"), "tool_choice": "auto"},
        ),
        Family(("kimi-k2.7-code*", "kimi-k2-thinking*"), {"reasoning": "none", "tool_choice": "auto"}),
        Family(
            ("moonshot-v1*",),
            {
                "reasoning": "none",
                "reasoning_history": "drop",
                "reasoning_scope": "tool_loop",
                "sampling": frozenset({"temperature", "top_p"}),
                "choice_while_thinking": True,
            },
        ),
    ),
)

XAI = Dialect(
    name="xai",
    families=(
        Family(("grok-3-mini*",), {"stop_max": 0, "reasoning": "effort", "efforts": ("low", "high")}),
        Family(("grok-4.6*",), {"stop_max": 0, "reasoning": "effort", "efforts": ("low", "medium", "high", "xhigh")}),
        # They refuse `stop`, and `reasoning_effort` though they think: hermes-agent#23088.
        Family(("grok-4*", "grok-code-fast*"), {"stop_max": 0}),
    ),
)

ZHIPU = Dialect(
    name="zhipu",
    reasoning_history="reasoning_content",
    stop_max=1,
    reasoning="toggle",
    response_format="json_object",
    tool_choice="auto",
    parallel_tool_calls=False,
    leaked_calls=("glm",),
    include_usage=False,  # the last chunk has the usage
    user=False,  # its name there is `user_id`
)

MINIMAX = Dialect(
    name="minimax",
    think_tags=True,  # unless `reasoning_split` is asked for
    leaked_calls=("minimax",),
)

BEDROCK = Dialect(
    name="bedrock",
    call_ids="up_to_64",
    families=(
        Family(
            ("*gpt-oss*",),
            {"images": "none", "reasoning": "effort", "efforts": ("low", "medium", "high")},
        ),
    ),
)

VENDORS = (MISTRAL, GEMINI, GROQ, MOONSHOT, XAI, ZHIPU, MINIMAX, BEDROCK)
"""In the order of the documentation."""

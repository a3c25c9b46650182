"""A program with the official Python SDK, of whichever generation is installed.  Prints what it got as one JSON object.

Run by test_sdk_generations.py, with GATE (a base URL) and TOKEN, MARKETING (tokens) in its environment.
"""

import json
import os

import anthropic
import pydantic

ASK = {"model": "claude-opus-5-5", "max_tokens": 2048}
WEATHER = {
    "name": "weather",
    "description": "The weather at a place.",
    "input_schema": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
}


def connect(token="", **options):
    return anthropic.Anthropic(base_url=os.environ["GATE"], api_key=token or os.environ["TOKEN"], **options)


def said(text):
    return [{"role": "user", "content": text}]


def told(message):
    """A message, as far as it is the same for everybody."""
    blocks = [
        {"text": block.text} if block.type == "text" else {"name": block.name, "input": block.input}
        for block in message.content
    ]
    return {
        "blocks": blocks,
        "stop_reason": message.stop_reason,
        "model": message.model,
        "usage": [message.usage.input_tokens, message.usage.output_tokens],
    }


def streamed(resource, **request):
    with resource.stream(**ASK, **request) as stream:
        text = "".join(stream.text_stream)
        return text, stream.get_final_message()


def round_trip(client):
    """The model calls a tool twice at once and gets what the tool said."""
    request = {"tools": [WEATHER], "messages": said("weather?")}
    _, first = streamed(client.messages, **request)
    results = [
        {"type": "tool_result", "tool_use_id": block.id, "content": block.input["place"].upper()}
        for block in first.content
        if block.type == "tool_use"
    ]
    more = [{"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
    request["messages"] = request["messages"] + more
    return [told(first), told(client.messages.create(**ASK, **request))]


@anthropic.beta_tool
def weather(place: str) -> str:
    """The weather at a place."""
    return f"snow in {place}"


def thoughts(client):
    _, message = streamed(client.messages, messages=said("think"), thinking={"type": "enabled", "budget_tokens": 1024})
    return [
        [block.thinking, bool(block.signature)] if block.type == "thinking" else block.text for block in message.content
    ]


class Forecast(pydantic.BaseModel):
    place: str
    degrees: int


def failure(action):
    try:
        action()
    except anthropic.APIStatusError as error:
        return {
            "class": type(error).__name__,
            "status": error.status_code,
            "type": error.body["error"]["type"],
            "message": error.body["error"]["message"],
            "request_id": error.body["request_id"] == error.request_id,
        }


def main():
    client = connect(max_retries=0)
    hello = {"messages": said("hello")}
    text, final = streamed(client.messages, **hello, system="Be brief.")
    beta_text, beta_final = streamed(client.beta.messages, **hello, betas=["context-management-2025-06-27"])
    return {
        "created": told(client.messages.create(**ASK, **hello, system="Be brief.")),
        "streamed": [text, told(final)],
        "beta created": told(client.beta.messages.create(**ASK, **hello, betas=["context-management-2025-06-27"])),
        "beta streamed": [beta_text, told(beta_final)],
        "tools": round_trip(client),
        "tool runner": told(
            client.beta.messages.tool_runner(**ASK, tools=[weather], messages=said("runner?")).until_done()
        ),
        "parsed": client.messages.parse(
            **ASK, messages=said("forecast"), output_format=Forecast
        ).parsed_output.model_dump(),
        "thoughts": thoughts(client),
        "tried again": told(connect().messages.create(**ASK, messages=said("busy"))),
        "tokens": client.messages.count_tokens(model=ASK["model"], messages=said("hello")).input_tokens,
        "models": [[model.id, model.display_name] for model in client.models.list()],
        "model": client.models.retrieve("claude-opus-5-5").id,
        "failures": {
            "no token": failure(lambda: connect("nonsense", max_retries=0).messages.create(**ASK, **hello)),
            "not allowed": failure(
                lambda: connect(os.environ["MARKETING"], max_retries=0).messages.create(**ASK, **hello)
            ),
            "no model": failure(lambda: client.messages.create(**{**ASK, "model": "other"}, **hello)),
            "throttled": failure(lambda: client.messages.create(**ASK, messages=said("throttle me"))),
            "throttled stream": failure(lambda: streamed(client.messages, messages=said("throttle me"))),
            "too long": failure(lambda: streamed(client.beta.messages, messages=said("too long"))),
            "cut": failure(lambda: streamed(client.messages, messages=said("cut"))),
        },
    }


print(json.dumps(main()))

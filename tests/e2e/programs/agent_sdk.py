"""A program with Anthropic's agent SDK whose agent has tools of its own.  Prints what it got as one JSON object.

Run by tests/e2e/suites/test_agent_sdk.py, with CLAUDE (the binary), GATE (a base URL), TOKEN and IMAGE (base64).
"""

import asyncio
import json
import os
import sys

from claude_agent_sdk import (
    AssistantMessage,
    ClaudeAgentOptions,
    ClaudeSDKClient,
    PermissionResultAllow,
    PermissionResultDeny,
    ResultMessage,
    TextBlock,
    ToolUseBlock,
    create_sdk_mcp_server,
    query,
    tool,
)

ran = []


@tool("weather", "The weather at a place.", {"place": str})
async def weather(arguments):
    ran.append(["weather", arguments])
    return {"content": [{"type": "text", "text": f"snow in {arguments['place']}"}]}


@tool("photo", "A photo of a place.", {"place": str})
async def photo(arguments):
    ran.append(["photo", arguments])
    return {"content": [{"type": "image", "data": os.environ["IMAGE"], "mimeType": "image/png"}]}


@tool("fail", "Does not work.", {})
async def fail(arguments):
    raise RuntimeError("out of order")


async def may_use(name, arguments, context):
    return PermissionResultDeny(message="not that") if name == "Bash" else PermissionResultAllow()


def options(**more):
    return ClaudeAgentOptions(
        cli_path=os.environ["CLAUDE"],
        cwd=os.getcwd(),
        setting_sources=[],
        mcp_servers={"places": create_sdk_mcp_server("places", tools=[weather, photo, fail])},
        env={"ANTHROPIC_BASE_URL": os.environ["GATE"], "ANTHROPIC_AUTH_TOKEN": os.environ["TOKEN"]},
        **more,
    )


async def told(messages):
    """Text and calls of the conversation, and its result."""
    blocks = []
    async for message in messages:
        if isinstance(message, AssistantMessage):
            blocks += [
                block.text if isinstance(block, TextBlock) else [block.name, block.input]
                for block in message.content
                if isinstance(block, TextBlock | ToolUseBlock)
            ]
        if isinstance(message, ResultMessage):
            return {
                "blocks": blocks,
                "result": message.result,
                "is_error": message.is_error,
                "counted": message.usage["input_tokens"] > 0,
            }
    sys.exit("no result")


async def conversation():
    """Two questions of one session, in which the program is asked what the agent may do."""
    async with ClaudeSDKClient(options(can_use_tool=may_use)) as client:
        answers = []
        for question in ("first question", "second question"):
            await client.query(question)
            answers.append(await told(client.receive_response()))
        return answers


async def main():
    allowed = ["mcp__places__weather", "mcp__places__photo", "mcp__places__fail"]
    return {
        "query": await told(query(prompt="places", options=options(allowed_tools=allowed))),
        "conversation": await conversation(),
        "ran": ran,
    }


print(json.dumps(asyncio.run(main())))

"""A Model Context Protocol server with one tool, over standard input and output (modelcontextprotocol.io, 2025-06-18).

Its name is its first argument, and it says what it is given backwards.  A second is more of its schema's properties.
"""

import json
import sys

NAME = sys.argv[1]
MORE = json.loads(sys.argv[2]) if len(sys.argv) > 2 else {}
SCHEMA = {"type": "object", "properties": {"words": {"type": "string"}, **MORE}, "required": ["words"]}


def answer(method, params):
    if method == "initialize":
        return {
            "protocolVersion": params["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "backwards", "version": "1"},
        }
    if method == "tools/list":
        return {"tools": [{"name": NAME, "description": "Says it backwards.", "inputSchema": SCHEMA}]}
    if method == "tools/call":
        return {"content": [{"type": "text", "text": params["arguments"]["words"][::-1]}]}
    return {}


for line in sys.stdin:
    asked = json.loads(line)
    if "id" in asked:
        result = answer(asked["method"], asked.get("params", {}))
        print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}), flush=True)

"""The two wires, Anthropic's Messages and OpenAI's chat completions, and the way from one to the other.

Nothing here does I/O, waits, looks at a clock or logs: bytes and values go in, bytes and values come out, and whatever
else a step needs (a request id, what an upstream taught us) is a parameter.  So all of it can be tried in a table.

A request goes through `messages.request.decode_messages` and `translation.request.to_chat`, which asks
`servers.dialects` what the model server understands and leaves a `ResponsePlan` for the way back.  A response goes
through `sse` and `translation.response` into an emitter of `messages.events`: one writes a stream, the other a whole
Message.  Text and schemas are copied as the JSON bytes that they came as; what the other wire cannot carry is reported
by name.
"""

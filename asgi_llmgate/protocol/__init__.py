"""The two wires, Anthropic's Messages and OpenAI's chat completions, and the way from one to the other.

Nothing here does I/O, waits, looks at a clock or logs: bytes and values go in, bytes and values come out, and whatever
else a step needs (a request id, what an upstream taught us) is a parameter.  So all of it can be tried in a table.

A request goes `anthropic.decode_messages` -> `request.to_chat`, which asks `dialects` what the model server there
understands and leaves a `ResponsePlan` for the way back.  A response goes through `sse` and `translator` into an emitter,
one for a stream and one for a whole message.  Text and schemas are copied as the JSON bytes that they came as;
what could not be said on the other wire is reported by name, never silently lost.
"""

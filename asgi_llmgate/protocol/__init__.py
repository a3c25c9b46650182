"""The two wires, Anthropic's Messages and OpenAI's chat completions, and the translation between them.

Nothing here does I/O, waits, reads a clock or logs: bytes and values go in, bytes and values come out, and whatever
else a step needs (a request id, the corrections for a server) is a parameter.  So all of it can be tested with tables.

    wire_pairs         which client can be served by which server, what writes the upstream request, what handles the
                       response
    translation/       from Messages to chat completions, and back
    messages/, chat/   one wire each: its requests, its responses, and the forwarding of both
    servers/           what differs between model servers: dialects, errors, corrections, tokenizers
    rawjson/           JSON that is copied and not decoded

A Messages request goes through `messages.request.decode_messages` and `to_chat` of `translation/request/`, which leaves
a `ResponsePlan` for the response.  The response goes through `sse.SSEReader` and the `Translator` of
`translation/response/` into an emitter of `messages.events`.  Text and schemas keep their bytes; what the other wire
does not have is reported by name.
"""

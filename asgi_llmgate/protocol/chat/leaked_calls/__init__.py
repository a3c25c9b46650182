"""Tool calls that a model server's parser missed and sent as text.

A model writes a call as text in the syntax that it was trained on, and the model server's parser makes `tool_calls` of
it.  With the wrong parser, none, or a slip of the model, the syntax arrives in the content, and the client sees XML
where it expected work (vllm-project/vllm#39056, ollama/ollama#12174, MoonshotAI/Kimi-K2#89).

    scanner     which text may be a call: it is kept back, everything else passes
    places      where in a text a call may stand
    parser      the syntaxes, as a table of opening words; the bodies are in json_bodies, tagged_bodies, token_bodies
    reader      reads text that arrives in pieces
    found       the declared tools, and what was found of their calls
"""

"""For tests of your own: the parts that this project's tests are made of.

driver         calls an ASGI app in memory and looks on while the answer is made
grammar        checks that bytes are a well-formed Anthropic stream
idp            a mock identity provider that mints tokens
model_script   what a model server answers, in a small vocabulary
model_server   an OpenAI-style model server that plays a script and keeps what it was asked
serving        a real uvicorn for an app, on a free port
"""

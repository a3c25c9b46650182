"""Helpers for tests: the same that this project's own tests use.

driver         calls an ASGI app in memory and reads the response while it is made
grammar        checks that bytes are a well-formed Anthropic stream
idp            a mock identity provider that mints tokens
minting        the options of the commands that print such a token
model_script   the responses of a model server, as a script of turns
model_server   an OpenAI-style model server that plays a script and keeps the requests that it got
pytest_plugin  fixtures for pytest: a gateway, an identity provider, a model server
serving        a real uvicorn for an app, on a free port
verdicts       checks `safeguard_results`, the verdicts on tool calls
"""

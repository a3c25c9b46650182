#!/bin/sh
# The app with the gateway at /llm: creates the key of a mock identity provider, then serves.
set -eu
cd "$(dirname "$0")"
: "${OPENAI_API_KEY:?is not set. For another OpenAI-compatible server, set OPENAI_BASE_URL and OPENAI_MODEL as well}"
llmgate jwks > /dev/null
exec python -m uvicorn --factory acme_board:create_app --port "${PORT:-8080}"

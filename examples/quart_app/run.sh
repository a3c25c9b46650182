#!/bin/sh
# The app with the gateway at /llm: keys of a mock identity provider, server.
set -eu
cd "$(dirname "$0")"
: "${OPENAI_API_KEY:?is not set; with OPENAI_BASE_URL and OPENAI_MODEL any OpenAI-compatible server will do}"
llmgate jwks > /dev/null
exec python -m uvicorn --factory acme_board:create_app --port "${PORT:-8080}"

#!/bin/sh
# The intranet with the gateway at /llm: keys of a mock identity provider, tables, server.
set -eu
cd "$(dirname "$0")"
: "${OPENAI_API_KEY:?is not set; with OPENAI_BASE_URL and OPENAI_MODEL any OpenAI-compatible server will do}"
python manage.py llmgate_mint > /dev/null
python manage.py migrate --verbosity 0
exec python -m uvicorn acme.asgi:application --port "${PORT:-8080}"

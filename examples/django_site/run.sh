#!/bin/sh
# The intranet with the gateway at /llm: creates the key of a mock identity provider and the tables, then serves.
set -eu
cd "$(dirname "$0")"
: "${OPENAI_API_KEY:?is not set. For another OpenAI-compatible server, set OPENAI_BASE_URL and OPENAI_MODEL as well}"
python manage.py llmgate_mint > /dev/null
python manage.py migrate --verbosity 0
exec python -m uvicorn acme.asgi:application --port "${PORT:-8080}"

-- The tables as asgi-llmgate 0.1.0 creates them in postgresql, and one record as it writes it.  Never changed.

CREATE TABLE usage_record (
    id BIGSERIAL NOT NULL,
    request_id TEXT NOT NULL,
    time_ms BIGINT NOT NULL,
    series_id BIGINT NOT NULL,
    subject TEXT DEFAULT '' NOT NULL,
    issuer TEXT DEFAULT '' NOT NULL,
    provider TEXT DEFAULT '' NOT NULL,
    backend TEXT DEFAULT '' NOT NULL,
    request_model TEXT DEFAULT '' NOT NULL,
    client_model TEXT DEFAULT '' NOT NULL,
    outcome TEXT DEFAULT '' NOT NULL,
    reason TEXT DEFAULT '' NOT NULL,
    policy_rule TEXT DEFAULT '' NOT NULL,
    method TEXT DEFAULT '' NOT NULL,
    path TEXT DEFAULT '' NOT NULL,
    error TEXT DEFAULT '' NOT NULL,
    error_type TEXT DEFAULT '' NOT NULL,
    detail TEXT DEFAULT '' NOT NULL,
    client_ip TEXT DEFAULT '' NOT NULL,
    user_agent TEXT DEFAULT '' NOT NULL,
    operation TEXT DEFAULT '' NOT NULL,
    response_model TEXT DEFAULT '' NOT NULL,
    response_id TEXT DEFAULT '' NOT NULL,
    conversation_id TEXT DEFAULT '' NOT NULL,
    agent_id TEXT DEFAULT '' NOT NULL,
    trace_id TEXT DEFAULT '' NOT NULL,
    span_id TEXT DEFAULT '' NOT NULL,
    finish_reasons JSONB,
    tools JSONB,
    dropped JSONB,
    policy_dry_run JSONB,
    fields JSONB,
    status BIGINT,
    max_tokens BIGINT,
    input_tokens BIGINT,
    output_tokens BIGINT,
    cache_read_tokens BIGINT,
    cache_creation_tokens BIGINT,
    reasoning_tokens BIGINT,
    attempts BIGINT,
    cost_nano BIGINT,
    duration_ms DOUBLE PRECISION,
    ttft_ms DOUBLE PRECISION,
    upstream_ms DOUBLE PRECISION,
    temperature DOUBLE PRECISION,
    stream BOOLEAN DEFAULT false NOT NULL,
    estimated BOOLEAN DEFAULT false NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (request_id)
);

CREATE INDEX usage_record_series ON usage_record (series_id, time_ms);

CREATE INDEX usage_record_time ON usage_record (time_ms, id);

CREATE TABLE usage_rollup (
    grain INTEGER NOT NULL,
    start BIGINT NOT NULL,
    series_id BIGINT NOT NULL,
    requests BIGINT NOT NULL,
    priced BIGINT NOT NULL,
    unpriced BIGINT NOT NULL,
    estimated BIGINT NOT NULL,
    calling BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    cache_read_tokens BIGINT NOT NULL,
    cache_creation_tokens BIGINT NOT NULL,
    reasoning_tokens BIGINT NOT NULL,
    cost_nano BIGINT NOT NULL,
    PRIMARY KEY (grain, start, series_id)
);

CREATE TABLE usage_schema (
    version SERIAL NOT NULL,
    PRIMARY KEY (version)
);

CREATE TABLE usage_series (
    id BIGSERIAL NOT NULL,
    key TEXT NOT NULL,
    subject TEXT NOT NULL,
    issuer TEXT NOT NULL,
    provider TEXT NOT NULL,
    backend TEXT NOT NULL,
    request_model TEXT NOT NULL,
    client_model TEXT NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT NOT NULL,
    policy_rule TEXT NOT NULL,
    fields JSONB NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (key)
);

CREATE TABLE usage_tools (
    grain INTEGER NOT NULL,
    start BIGINT NOT NULL,
    tool TEXT NOT NULL,
    series_id BIGINT NOT NULL,
    requests BIGINT NOT NULL,
    priced BIGINT NOT NULL,
    unpriced BIGINT NOT NULL,
    estimated BIGINT NOT NULL,
    calling BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    cache_read_tokens BIGINT NOT NULL,
    cache_creation_tokens BIGINT NOT NULL,
    reasoning_tokens BIGINT NOT NULL,
    cost_nano BIGINT NOT NULL,
    PRIMARY KEY (grain, start, tool, series_id)
);

INSERT INTO usage_schema (version)
VALUES (2);

INSERT INTO usage_series (key, subject, issuer, provider, backend, request_model, client_model, outcome, reason,
  policy_rule, fields)
VALUES ('84cc3ff51c76bceff06737c194e261ac', 'alice', '', 'openai', '', 'gpt-4o-mini', '', 'ok', '', '',
  '{"team": "data-platform"}');

INSERT INTO usage_record (request_id, time_ms, series_id, subject, issuer, provider, backend, request_model,
  client_model, outcome, reason, policy_rule, method, path, error, error_type, detail, client_ip, user_agent,
  operation, response_model, response_id, conversation_id, agent_id, trace_id, span_id, finish_reasons, tools,
  dropped, policy_dry_run, fields, status, max_tokens, input_tokens, output_tokens, cache_read_tokens,
  cache_creation_tokens, reasoning_tokens, attempts, cost_nano, duration_ms, ttft_ms, upstream_ms, temperature,
  stream, estimated)
VALUES ('of 0.1.0', 1795694400000, 1, 'alice', '', 'openai', '', 'gpt-4o-mini', '', 'ok', '', '', 'POST',
  '/v1/messages', '', '', '', '', '', '', '', '', '', '', '', '', '["stop"]', '["Read"]', NULL, NULL,
  '{"team": "data-platform"}', 200, 0, 100, 20, 0, 0, 0, 0, 27000, 1200.0, 400.0, NULL, 0.5, false, true);

INSERT INTO usage_rollup (grain, start, series_id, requests, priced, unpriced, estimated, calling, input_tokens,
  output_tokens, cache_read_tokens, cache_creation_tokens, reasoning_tokens, cost_nano)
VALUES (60, 1795694400, 1, 1, 1, 0, 1, 1, 100, 20, 0, 0, 0, 27000);

INSERT INTO usage_rollup (grain, start, series_id, requests, priced, unpriced, estimated, calling, input_tokens,
  output_tokens, cache_read_tokens, cache_creation_tokens, reasoning_tokens, cost_nano)
VALUES (3600, 1795694400, 1, 1, 1, 0, 1, 1, 100, 20, 0, 0, 0, 27000);

INSERT INTO usage_rollup (grain, start, series_id, requests, priced, unpriced, estimated, calling, input_tokens,
  output_tokens, cache_read_tokens, cache_creation_tokens, reasoning_tokens, cost_nano)
VALUES (86400, 1795651200, 1, 1, 1, 0, 1, 1, 100, 20, 0, 0, 0, 27000);

INSERT INTO usage_tools (grain, start, tool, series_id, requests, priced, unpriced, estimated, calling, input_tokens,
  output_tokens, cache_read_tokens, cache_creation_tokens, reasoning_tokens, cost_nano)
VALUES (60, 1795694400, 'Read', 1, 1, 1, 0, 1, 1, 100, 20, 0, 0, 0, 27000);

INSERT INTO usage_tools (grain, start, tool, series_id, requests, priced, unpriced, estimated, calling, input_tokens,
  output_tokens, cache_read_tokens, cache_creation_tokens, reasoning_tokens, cost_nano)
VALUES (3600, 1795694400, 'Read', 1, 1, 1, 0, 1, 1, 100, 20, 0, 0, 0, 27000);

INSERT INTO usage_tools (grain, start, tool, series_id, requests, priced, unpriced, estimated, calling, input_tokens,
  output_tokens, cache_read_tokens, cache_creation_tokens, reasoning_tokens, cost_nano)
VALUES (86400, 1795651200, 'Read', 1, 1, 1, 0, 1, 1, 100, 20, 0, 0, 0, 27000);

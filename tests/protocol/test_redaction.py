from __future__ import annotations

import pytest

from asgi_llmgate.protocol.redaction import MAX_LENGTH, redacted, without_secrets
from asgi_llmgate.secret_values import Secret


@pytest.mark.parametrize(
    ("secret", "text"),
    [
        ("sk-proj-abc", "Incorrect API key provided: sk-proj-abc123DEF456. You can find"),
        ("3xYz", "Incorrect API key provided: sk-ab***********************3xYz."),
        ("ak-f8", "Your account <ak-f817m9q3k3wi11gjwbgi> request reached max organization concurrency"),
        ("some.body", "you (some.body) have reached your weekly usage limit"),
        ("gsk_Zz", "key gsk_ZzAbCdEf0123456789 is invalid"),
        ("glpat-", "key glpat-abcdefghij1234567890 is invalid"),
        ("ghu_", "Copilot: token ghu_abcdefghij1234567890 has expired"),
        ("github_pat_", "token github_pat_11ABCDEFG0_abcdefghij is invalid"),
        ("AIzaSy", "API key AIzaSyD-1234567890abcdef not valid"),
        ("secretvalue", "header Authorization: Bearer secretvalue was refused"),
        ("eyJhbGciOi", "token eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln expired"),
        ("org-AbCdEf", "Rate limit reached for gpt-4o in organization org-AbCdEf on tokens"),
        ("proj_Xyz", "project proj_XyzXyz123 has no access"),
        ("user-2abc", "account user-2abcDEF456 is suspended"),
        ("0f8fad5b", "deployment 0f8fad5b-d9cb-469f-a165-70867728950e not ready"),
        ("d41d8cd98f", "trace d41d8cd98f00b204e9800998ecf8427e"),
        ("dGhpc0lz", "blob dGhpc0lzQVNlY3JldDEyMzQ1Njc4OTBBQkNERUZHSElK=="),
        ("123456789012", "arn:aws:bedrock:eu-west-1:123456789012:model/x denied"),
        ("someone", "contact someone@acme.example for access"),
        ("acme", "see https://llm.acme.example/keys?id=7 for details"),
        ("10.1.2.3", "connect to 10.1.2.3:8000 failed"),
        ("fd00", "connect to [fd00::1]:8000 failed"),
        ("gpu-7", "upstream gpu-7.models.svc.cluster.local:8000 timed out"),
        ("vllm.corp", "host vllm.corp unreachable"),
        ("api.acme.example", "dial api.acme.example:443: refused"),
        ("11434", "post to localhost:11434 failed"),
        ("my private words", "1 validation error [type=string_type, input_value='my private words', input_type=str]"),
        ("my private words", "bad value, input='my private words'"),
    ],
)
def test_what_must_not_be_seen_is_taken_out(secret: str, text: str) -> None:
    assert secret in text
    assert secret not in redacted(text)


@pytest.mark.parametrize(
    "text",
    [
        "The model `qwen2.5-coder-32b-instruct-q4_K_M` does not exist.",
        "The model `Qwen/Qwen3-Coder-480B-A35B-Instruct-FP8` does not exist.",
        "model 'gpt-oss:20b' not found, try pulling it first",
        "messages.3.content.0.type: unknown variant `image_url`, expected `text` at line 1 column 746109",
        "This model's maximum context length is 128000 tokens (130000 in the messages, 1100 in the functions).",
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        "tool_choice.function.name: user_message_content is not a tool",
    ],
)
def test_what_a_client_acts_on_stays(text: str) -> None:
    assert redacted(text) == text


def test_a_long_text_is_cut() -> None:
    assert len(redacted("word " * 9999)) <= MAX_LENGTH


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("the key abcd-efgh-1234 is wrong", "the key * is wrong"),
        ("the key abcd-efgh... is wrong", "the key *... is wrong"),
        ("the key abcd is wrong", "the key abcd is wrong"),
        ("the password p.w! is wrong", "the password * is wrong"),
    ],
)
def test_secrets_and_their_longer_parts_are_taken_out(text: str, left: str) -> None:
    secrets = [Secret("abcd-efgh-1234"), Secret("p.w!"), Secret("")]
    assert without_secrets(text, secrets, "*") == left

from __future__ import annotations

import pytest

from asgi_llmgate.protocol.servers.errors.codes import known_codes


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ("", ""),
        ("context_length_exceeded invalid_request_error", "context_length_exceeded invalid_request_error"),
        ("badrequesterror 400 badrequesterror", "badrequesterror"),
        ("api_error api_errors xapi_error", "api_error"),
        ("internal", "internal"),
        ("throttlingexception base_resp_1008 base_resp_x", "throttlingexception base_resp_1008"),
        ("tool_use_failed budget_exceeded 1113", "tool_use_failed budget_exceeded"),
        ("my-secret-plan", ""),
        ("4111111111111111 string_type", ""),
        ("request_too_large\x1b[31m", ""),
    ],
)
def test_a_code_is_written_down_if_it_is_one_of_a_list(codes: str, expected: str) -> None:
    assert known_codes(codes) == expected

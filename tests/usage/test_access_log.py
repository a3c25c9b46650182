"""Lines: whole, harmless, in the right place and there only once."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from contextlib import closing

import pytest

from asgi_llmgate.exchange_values import Identity, ResponseMetadata, Target
from asgi_llmgate.usage import AccessLog, UsageRecord
from asgi_llmgate.usage.access_log import LINE_LIMIT, bounded, to_json_text, to_logfmt

NASTY = [
    pytest.param("a\nb\r\nc", id="line breaks"),
    pytest.param('x" status="200', id="quotes"),
    pytest.param('a"b', id="a quote alone"),
    pytest.param("a=b", id="an equals sign alone"),
    pytest.param("a\\b", id="a backslash alone"),
    pytest.param("bob reason=none status=200", id="blanks and equals signs"),
    pytest.param("\x1b[2J\x1b[31mred\x9b31m", id="terminal escapes"),
    pytest.param("a\u2028b\u2029c\x85d\x0be\x0cf", id="every line separator there is"),
    pytest.param("\u202efdp.exe\u2066", id="bidirectional overrides"),
    pytest.param("\x00\x7f\\", id="NUL, DEL and backslash"),
    pytest.param("\ud800", id="a lone surrogate, as json.loads gives it"),
    pytest.param("😀" * 2000, id="long and not ASCII"),
    pytest.param("x" * 10_000, id="long"),
]


def parse_logfmt(line: str) -> dict[str, str]:
    """What a log collector does, strictly: the whole line must be pairs."""
    pair = r'([^ ="]+)=("(?:[^"\\]|\\.)*"|[^ ="]*)'
    assert re.fullmatch(rf"{pair}(?: {pair})*", line), line
    return {name: json.loads(value) if value[:1] == '"' else value for name, value in re.findall(pair, line)}


@pytest.fixture
def line_of(tmp_path):
    """The line of a record; with `file` the host's logging, and so pytest's, is out of the way."""

    def write(record: UsageRecord, format="json") -> str:
        file = tmp_path / "access.log"
        with closing(AccessLog(format, file)) as sink:
            sink.emit(record)
        text = file.read_bytes().decode("ascii")
        assert text.endswith("\n")
        assert text.count("\n") == 1
        return text[:-1]

    return write


def test_a_json_line_is_the_flat_record(full_exchange, line_of):
    record = UsageRecord.of(full_exchange())
    assert json.loads(line_of(record)) == json.loads(json.dumps(record.flat()))


@pytest.mark.parametrize(
    "values",
    [{}, {"team": "data"}, {"groups": ['"fields":{', "}"], "org": "a"}, {"org": "é"}, {"number": 2**70}],
    ids=["none", "one", "the name as a text", "not ASCII", "a large number"],
)
def test_the_operators_fields_are_values_like_the_others(full_exchange, line_of, values):
    fields = {name: lambda _, value=value: value for name, value in values.items()}
    text = '"fields":{'
    record = UsageRecord.of(full_exchange(error=text, path="/" + text), fields)
    line = line_of(record)
    assert json.loads(line) == json.loads(json.dumps(record.flat()))
    assert list(json.loads(line))[len(json.loads(line)) - len(values) :] == list(values)


def test_a_logfmt_line_looks_like_the_reference_gateways(full_exchange, line_of):
    exchange = full_exchange(
        target=None, usage=None, call=None, decision=None, dropped=[], outcome="refused", status=403,
        reason="Authorization", error="authorization failed",
    )  # fmt: skip
    assert line_of(UsageRecord.of(exchange), "logfmt") == (
        "time=2026-11-23T05:57:07.385Z request_id=req_1 method=POST path=/v1/messages status=403 outcome=refused "
        'reason=Authorization error="authorization failed" duration_ms=2776.0 client_ip=10.0.0.1 '
        'user_agent="claude-cli/2.1.4 (external, cli)" jwt.sub=u-1842 jwt.iss=https://sso.acme.test'
    )


def test_logfmt_writes_numbers_booleans_and_lists():
    assert to_logfmt({"a": 1, "b": 0.5, "c": True, "d": ["x", "y z"], "e": ("x",), "f": ""}) == (
        'a=1 b=0.5 c=true d="x,y z" e=x f=""'
    )


@pytest.mark.parametrize("text", NASTY)
@pytest.mark.parametrize(("format", "parse"), [("json", json.loads), ("logfmt", parse_logfmt)])
def test_no_value_can_forge_or_break_a_line(full_exchange, line_of, format, parse, text):
    exchange = full_exchange(
        path="/" + text, method=text, headers={"user-agent": text}, error=text, detail=text, dropped=[text] * 20,
        identity=Identity(text, text, "acme"), target=Target("main", "openai", text),
        response=ResponseMetadata(text, text, (text,), (text,) * 20),
    )  # fmt: skip
    exchange.call.session_id = exchange.call.agent_id = exchange.call.request.model = text
    fields = {"team": lambda _: text, "groups": lambda _: [text, text]}
    line = line_of(UsageRecord.of(exchange, fields), format)
    assert len(line) < LINE_LIMIT
    assert all(" " <= character <= "~" for character in line)
    found = parse(line)
    assert found.keys() <= UsageRecord.of(exchange, fields).flat().keys()
    assert (found["request_id"], str(found["status"]), found["outcome"]) == ("req_1", "200", "ok")


def test_a_short_text_arrives_unchanged_in_both_forms_but_for_control_characters(full_exchange):
    text = 'a "quoted"\n\x1b[31m = \\ \u2028 é 😀'
    flat = UsageRecord.of(full_exchange(error=text)).flat()
    seen = 'a "quoted"\ufffd\ufffd[31m = \\ \ufffd é 😀'
    assert json.loads(to_json_text(flat))["error"] == seen
    assert parse_logfmt(to_logfmt(flat))["error"] == seen


def test_many_long_fields_still_make_one_bounded_line(full_exchange):
    fields = {f"field{n}": lambda _: "\x1b" * 500 for n in range(100)}
    flat = UsageRecord.of(full_exchange(), fields).flat()
    line = bounded(flat, to_json_text)
    assert len(line) < LINE_LIMIT
    assert json.loads(line)["request_id"] == "req_1"


def test_a_value_that_cannot_be_cut_is_left_out(full_exchange):
    flat = UsageRecord.of(full_exchange(), {"number": lambda _: 10**4200}).flat()
    assert "number" not in json.loads(bounded(flat, to_json_text))


def test_the_host_finds_the_values_on_the_log_record(full_exchange, caplog):
    AccessLog().emit(UsageRecord.of(full_exchange()))
    (entry,) = [entry for entry in caplog.records if entry.name == "llmgate.access"]
    assert entry.levelname == "INFO"
    assert entry.llmgate["gen_ai.request.model"] == "gpt-4o-mini"
    assert json.loads(entry.getMessage())["request_id"] == "req_1"


def test_nothing_is_opened_before_the_first_record(tmp_path):
    AccessLog(file=tmp_path / "access.log")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_logrotate_has_moved_is_opened_anew(full_exchange, tmp_path):
    file, old = tmp_path / "access.log", tmp_path / "access.log.1"
    sink, record = AccessLog(file=file), UsageRecord.of(full_exchange())
    with closing(sink):
        sink.emit(record)
        os.rename(file, old)
        sink.emit(record)
        sink.emit(record)
    assert (old.read_text().count("\n"), file.read_text().count("\n")) == (1, 2)


def test_two_files_get_a_line_each_and_the_host_none(full_exchange, tmp_path, caplog):
    record = UsageRecord.of(full_exchange())
    with closing(AccessLog("json", tmp_path / "a")) as first, closing(AccessLog("logfmt", tmp_path / "b")) as second:
        first.emit(record)
        second.emit(record)
    assert (tmp_path / "a").read_text().startswith("{")
    assert (tmp_path / "b").read_text().startswith("time=")
    assert caplog.records == []


GUNICORN = """
    import logging.config
    logging.config.dictConfig({          # gunicorn/glogging.py, CONFIG_DEFAULTS
        "version": 1, "disable_existing_loggers": False,
        "root": {"level": "INFO", "handlers": ["console"]},
        "loggers": {"gunicorn.error": {"level": "INFO", "handlers": ["error_console"], "propagate": True,
                                       "qualname": "gunicorn.error"}},
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "generic", "stream": "ext://sys.stdout"},
                     "error_console": {"class": "logging.StreamHandler", "formatter": "generic",
                                       "stream": "ext://sys.stderr"}},
        "formatters": {"generic": {"format": "%(asctime)s [%(process)d] [%(levelname)s] %(message)s"}}})
"""

DJANGO = """
    from django.conf import settings
    import django
    settings.configure(LOGGING={logging})
    django.setup()
"""

DJANGO_CONSOLE = {
    "version": 1,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
}

HOSTS = [
    pytest.param("", 1, id="no logging at all"),
    pytest.param("logging.basicConfig()", 1, id="basicConfig, WARNING"),
    pytest.param("logging.basicConfig(level=logging.DEBUG)", 1, id="basicConfig, DEBUG"),
    pytest.param(
        "import uvicorn.config; logging.config.dictConfig(uvicorn.config.LOGGING_CONFIG)", 1, id="uvicorn's own"
    ),
    pytest.param(GUNICORN, 1, id="gunicorn with a logconfig_dict"),
    pytest.param(
        "logging.getLogger('gunicorn.error').addHandler(logging.StreamHandler())", 1, id="gunicorn without one"
    ),
    pytest.param(DJANGO.format(logging={}), 1, id="django's own"),
    pytest.param(DJANGO.format(logging=DJANGO_CONSOLE), 1, id="django with a console, disabling what exists"),
    pytest.param(
        "log = logging.getLogger('llmgate.access'); log.addHandler(logging.StreamHandler()); log.propagate = False",
        1,
        id="a handler of its own",
    ),
    pytest.param(
        "logging.getLogger('llmgate').addHandler(logging.StreamHandler())", 1, id="a handler for all of llmgate"
    ),
    pytest.param("logging.getLogger('llmgate.access').setLevel('WARNING')", 0, id="switched off"),
    pytest.param("logging.getLogger('llmgate').setLevel('WARNING')", 0, id="all of llmgate switched off"),
]


def lines_in_a_host(setup: str, late: str = "") -> list[int]:
    """How often each of three records is printed by a process that sets its logging up like this."""
    script = f"""
import logging, logging.config
from asgi_llmgate.usage import AccessLog, UsageRecord
first, second = AccessLog(), AccessLog()
{textwrap.dedent(setup)}
first.emit(UsageRecord(time="t", request_id="req_first", method="GET", path="/", duration_ms=1.0))
{late}
first.emit(UsageRecord(time="t", request_id="req_again", method="GET", path="/", duration_ms=1.0))
second.emit(UsageRecord(time="t", request_id="req_other", method="GET", path="/", duration_ms=1.0))
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True)
    assert "Logging error" not in done.stderr
    return [(done.stdout + done.stderr).count(name) for name in ("req_first", "req_again", "req_other")]


@pytest.mark.parametrize(("setup", "lines"), HOSTS)
def test_under_a_hosts_logging_each_record_is_one_line(setup: str, lines: int):
    assert lines_in_a_host(setup) == [lines] * 3


def test_a_host_that_sets_up_logging_late_does_not_double_the_lines():
    assert lines_in_a_host("", late="logging.basicConfig(level=logging.DEBUG)") == [1, 1, 1]


def test_lines_go_to_what_stdout_is_now():
    assert lines_in_a_host("", late="import sys; sys.stdout.close(); sys.stdout = sys.stderr") == [1, 1, 1]

"""Tests stand where their subject stands: tests/ROOM/test_x.py has asgi_llmgate/ROOM/x.py, or is a topic below, or is
in a folder `families`: a kind of failure of docs/explanation/known-failures.md (tests/docs/test_known_failures.py)."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "asgi_llmgate"

WHOLE = {
    "benchmarks": "benchmarks/: their commands, results and yardstick",
    "clock": "the shifted clock of `make test SHIFT=400d`",
    "docs": "what pages say, and their code blocks",
    "e2e": "real clients in front of the mounted gateway",
    "fuzz": "the kept corpus and its mutations",
    "gateway": "a whole gateway: endings, uploads, limits, memory",
    "idp": "real identity providers",
    "integrations": "Django, Quart, Starlette",
    "library": "manners of a library in its host's process",
    "mutants": "the mutation check",
    "real_upstream": "real model servers",
    "release": "what a release is made of, and what it promises",
    "security": "a whole gateway: what must not be reached, and must not be seen",
    "servers": "real ASGI servers",
}
"""Folders without a room of the package."""

TOPICS = {
    "auth/test_bad_tokens.py": "JWTAuthMiddleware and all that is behind it",
    "auth/test_fork.py": "a server that forks after import",
    "auth/test_random_tokens.py": "generated tokens, at the verifier and the middleware",
    "cli/convert/test_public_examples.py": "shapes of public example files of agentgateway",
    "cel/test_conformance.py": "cel-spec's own examples",
    "cel/test_known_engine_bugs.py": "rules that other engines evaluate wrongly",
    "cel/test_language.py": "the language as a table: cel/runtime and cel/compiler.py",
    "net/test_client_disconnects.py": "a chain of real sockets",
    "net/test_secret_headers.py": "secrets in headers, forms and errors of all net/",
    "page/test_browser.py": "a real browser",
    "page/test_visibility.py": "viewers who may see a part",
    "policy/test_before_body.py": "decisions before the body is read",
    "protocol/properties/test_any_response.py": "generated responses, at every handler",
    "protocol/test_known_response_failures.py": "docs/explanation/known-failures.md",
    "protocol/properties/test_client_libraries.py": "streams as other libraries read them",
    "protocol/properties/test_linear_work.py": "counted work of every handler",
    "protocol/properties/test_any_request.py": "generated requests",
    "protocol/properties/test_response_grammar.py": "generated streams",
    "protocol/properties/test_safeguard_results.py": "results of safeguards, in every response",
    "protocol/properties/test_stable_prefix.py": "prompt caches of the model server",
    "safeguards/test_injections.py": "texts for the classifier by those who may not speak to it",
    "safeguards/shell/test_against_bash.py": "generated lines, run by bash",
    "test_mirror.py": "this",
    "upstream/test_corrections.py": "corrections of one caller's request, and another's",
    "upstream/test_upstream_errors.py": "error bodies of model servers on the wire",
    "usage/ledger/test_in_a_gateway.py": "the ledger behind a gateway",
    "usage/ledger/test_killed_workers.py": "processes killed with SIGKILL",
    "usage/ledger/test_many_series.py": "names that callers invent",
    "usage/ledger/test_postgresql.py": "a real PostgreSQL server",
    "usage/ledger/test_versions.py": "gateways of two versions at one database",
    "usage/test_server_processes.py": "logs of real server processes",
}
"""Modules without a module of the package, and what they test."""

MOST_FILES = 16


def modules() -> dict[str, bool]:
    """Each test module under a room, and whether the package has the module that it is named after."""
    found = {}
    for path in TESTS.rglob("test_*.py"):
        name = path.relative_to(TESTS)
        if name.parts[0] not in WHOLE and "families" not in name.parts:
            found[str(name)] = (PACKAGE / name.with_name(name.name.removeprefix("test_"))).exists()
    return found


def test_each_test_module_has_its_subject_or_is_a_topic() -> None:
    assert sorted(name for name, mirrored in modules().items() if not mirrored) == sorted(TOPICS)


def test_each_folder_is_a_room_or_is_listed() -> None:
    folders = {path.name for path in TESTS.iterdir() if any(path.glob("**/test_*.py"))}
    assert {name for name in folders if not (PACKAGE / name).is_dir()} == set(WHOLE)


def test_no_folder_is_a_heap() -> None:
    folders = [TESTS, *(path for path in TESTS.rglob("*") if path.is_dir() and path.name != "__pycache__")]
    sizes = {str(folder.relative_to(TESTS)): len(list(folder.glob("*.py"))) for folder in folders}
    assert {name: size for name, size in sizes.items() if size > MOST_FILES} == {}

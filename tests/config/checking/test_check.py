"""All mistakes of a file are told in one run, each at its line and column, and nothing else is."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import certifi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_llmgate.config.checking.check import MOST, Checked, check_file
from asgi_llmgate.config.schema import Settings
from asgi_llmgate.gateway import Gateway
from tests.config.settings_keys import keys_of
from tests.config.settings_tree import (
    EVERYTHING,
    Mutation,
    as_text,
    bad_rule,
    misspelt,
    mutated,
    removed,
    replaced,
    walk,
    write,
)

FREE = {"required_values", "claim_map", "backends", "extra_body", "extra_headers", "parameters", "routes", "fields"}
"""Mappings whose keys are names."""

UNTYPED = {"rules", "authorization", "dialect", "inline", "extra_body"}
"""What is in these has no type of the schema."""

BUILT: dict[str, Any] = EVERYTHING | {
    "usage": {key: value for key, value in EVERYTHING["usage"].items() if key not in ("otel", "prometheus")},
    "net": {"proxy": "none", "ca_file": "ca.pem"},
    "safeguards": {"rules": EVERYTHING["safeguards"]["rules"], "undecided": "flag"},
}
"""Settings of which a gateway can be built without a registry that the process shares."""


def mistyped(tree: dict[str, Any]) -> Iterator[Mutation]:
    """Each key misspelt, each value of a wrong type, each required key left out."""
    for path, value in walk(tree):
        if UNTYPED & set(path[:-1]):
            continue
        if isinstance(path[-1], str):
            if not (len(path) > 1 and path[-2] in FREE):
                yield misspelt(path)
            if path[-1] in REQUIRED:
                yield removed(path)
        yield replaced(path, wrong_for(value))


REQUIRED = {"backends", "models", "base_url", "match", "use", "passthrough", "client_id", "token_url", "key", "url"} - {
    "url"  # required at some places only
}


def wrong_for(value: Any) -> Any:
    if isinstance(value, bool | float | int):
        return "five"
    return {"x": 1} if isinstance(value, str) and value.endswith("B") else 5  # a size may be a number


def groups(mutations: Iterable[Mutation]) -> Iterator[list[Mutation]]:
    """All mutations in groups of which none is inside of another."""
    left = list(mutations)
    while left:
        group: list[Mutation] = []
        for mutation in left:
            if all(mutation.fits_beside(other) for other in group):
                group.append(mutation)
        left = [mutation for mutation in left if mutation not in group]
        yield group


OPENAI, GPU, EXCHANGED, CALLED = (("backends", name) for name in EVERYTHING["backends"])
PROVIDERS = [("auth", "providers", index) for index in range(len(EVERYTHING["auth"]["providers"]))]

MEANT_OTHERWISE = [
    *map(
        bad_rule,
        [
            ("policy", "rules", 0),
            ("policy", "rules", 1, "when"),
            ("policy", "rules", 2, "require", 0),
            ("policy", "rules", 2, "require", 1),
            ("policy", "authorization", "policy", "matchExpressions", 0),
            ("models", 0, "when"),
            ("limits", 0, "key"),
            ("limits", 0, "when"),
            ("usage", "fields", "team"),
            ("usage", "user"),
        ],
    ),
    misspelt(("policy", "rules", 1, "when")),
    misspelt(("policy", "rules", 1, "reason")),
    misspelt((*GPU, "dialect", "efforts")),
    *(
        replaced(path, value)
        for path, value in [
            (("auth", "mode"), "of"),
            (("auth", "token_sources", 0), "query:x"),
            (("auth", "protected_resource", "url"), "apps.acme.test"),
            ((*PROVIDERS[0], "jwks", "file"), "nowhere.json"),
            ((*PROVIDERS[0], "algorithms", 0), "HS256"),
            ((*PROVIDERS[0], "leeway"), -1),
            ((*PROVIDERS[1], "preset"), "okt"),
            ((*PROVIDERS[1], "jwks", "url"), "http://idp.test"),
            ((*PROVIDERS[1], "introspection", "url"), "http://idp.test"),
            ((*PROVIDERS[1], "introspection", "client_secret"), "hunter2"),
            ((*PROVIDERS[2], "audiences"), []),
            ((*PROVIDERS[2], "discovery_url"), "http://idp.test"),
            ((*PROVIDERS[4], "jwks", "inline"), {"kees": []}),
            (("policy", "rules", 1, "action"), "alow"),
            (("policy", "rules", 1, "mode"), "dry-run"),
            (("policy", "rules", 1, "reason"), False),
            (("policy", "deny_subjects", "file"), "nowhere.txt"),
            ((*OPENAI, "base_url"), "gpu-1"),
            ((*OPENAI, "dialect"), "opnai"),
            ((*OPENAI, "api_key"), "sk-1234"),
            ((*OPENAI, "extra_headers", "x-team"), "a\nb"),
            ((*GPU, "dialect", "base"), "vlm"),
            ((*GPU, "dialect", "efforts", 1), "hgh"),
            ((*GPU, "dialect", "stop_max"), "four"),
            ((*GPU, "api_key", "client_credentials", "token_url"), "http://idp.test"),
            ((*GPU, "api_key", "client_credentials", "client_secret"), "hunter2"),
            ((*CALLED, "api_key", "callable"), "no_such_module:f"),
            (("models", 0, "use", 0), "gpu-2/x"),
            (("models", 0, "use", 1), "opnai/x"),
            (("models", 0, "prices", 1), {}),
            (("models", 1, "use"), "opnai/x"),
            (("routes", "/v2/messages"), "mesages"),
            (("routes", "/raw", "passthrough"), "opnai"),
            (("limits", 0, "requests"), "often"),
            (("limits", 0, "concurrency"), 0),
            (("usage", "ledger", "url"), "mysql://h/d"),
            (("usage", "ledger", "keep"), "a year"),
            (("usage", "sinks", 0, "callable"), "os:getpid"),
            (("net", "proxy"), "socks5://proxy"),
            (("server", "body_limit"), "32 apples"),
            (("server", "body_min_rate"), "fast"),
            (("server", "answer_limit"), "much"),
            (("server", "streams"), 0),
            (("secret", 0), "secret"),
        ]
    ),
]
"""Mistakes that a type does not show."""


def nothing(settings: Settings, folder: Path) -> None:
    """Builds no gateway."""


def gateway(settings: Settings, folder: Path) -> Gateway:
    return Gateway.from_settings(settings, folder=folder)


def check(folder: Path, text: str, build: Any = gateway, **options: Any) -> Checked:
    file = folder / "llmgate.yaml"
    file.write_text(text)
    return check_file(file, build, **options)


def told(checked: Checked) -> list[tuple[str, int, int]]:
    return sorted((found.path, found.line, found.column) for found in checked.findings if found.severity == "error")


def expected(mutations: list[Mutation], places: dict[Any, tuple[int, int]]) -> list[tuple[str, int, int]]:
    found = []
    for mutation in mutations:
        line, column = places.get(mutation.place, (1, 1)) if mutation.place else (2, 1)
        found.append((as_text(mutation.shown), line, column + mutation.offset))
    return sorted(found)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the files and an environment with the variables that the settings name."""
    folder = tmp_path_factory.mktemp("settings")
    (folder / "jwks.json").write_text('{"keys": []}')
    (folder / "denied.txt").write_text("bob\n")
    shutil.copy(certifi.where(), folder / "ca.pem")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OUR_SECRET", "s3cret")
        patch.setenv("LONG_SECRET", "s" * 32)
        patch.setenv("OUR_LONG_SECRET", "t" * 32)
        yield folder


def test_the_settings_of_these_tests_have_every_key() -> None:
    known = {key.name for key in keys_of()}
    assert known - {step for path, _ in walk(EVERYTHING) for step in path} == set()


def test_each_section_refuses_unknown_keys() -> None:
    """So that `repair` and msgspec agree."""
    structs = {key.struct for key in keys_of()}
    assert [struct for struct in structs if not struct.__struct_config__.forbid_unknown_fields] == []


def test_good_settings_have_no_errors(folder: Path) -> None:
    assert told(check(folder, write(EVERYTHING)[0], nothing)) == []
    assert told(check(folder, write(BUILT)[0])) == []


TYPES = list(groups(mistyped(EVERYTHING)))


@pytest.mark.parametrize("group", TYPES, ids=[f"{len(group)} mistakes, {group[0]}" for group in TYPES])
def test_each_mistake_in_keys_and_types_is_told_at_its_place(folder: Path, group: list[Mutation]) -> None:
    text, places = write(mutated(EVERYTHING, group))
    assert told(check(folder, text, nothing)) == expected(group, places)


OTHERS = list(groups(MEANT_OTHERWISE))


@pytest.mark.parametrize("group", OTHERS, ids=[f"{len(group)} mistakes, {group[0]}" for group in OTHERS])
def test_each_other_mistake_is_told_at_its_place(folder: Path, group: list[Mutation]) -> None:
    text, places = write(mutated(BUILT, group))
    assert told(check(folder, text)) == expected(group, places)


@pytest.mark.parametrize("mutation", MEANT_OTHERWISE, ids=str)
def test_each_other_mistake_alone_is_told_alone(folder: Path, mutation: Mutation) -> None:
    text, places = write(mutated(BUILT, [mutation]))
    assert told(check(folder, text)) == expected([mutation], places)


SECTIONS = [
    mutation
    for mutation in mistyped(BUILT)
    if len(mutation.path) == 1 or (len(mutation.path) == 2 and mutation.path[0] in ("auth", "policy", "backends"))
]


@pytest.mark.parametrize("mutation", SECTIONS, ids=str)
def test_what_only_follows_from_a_section_that_is_wrong_is_not_told(folder: Path, mutation: Mutation) -> None:
    text, places = write(mutated(BUILT, [mutation]))
    assert told(check(folder, text)) == expected([mutation], places)


def test_what_only_follows_from_a_value_that_is_wrong_is_not_told(folder: Path) -> None:
    text = """\
auth: {mode: 5}
policy: {default: 5}
backends: {a: {base_url: http://h/v1, api_key: {callable: 5}}, b: {base_url: http://h/v1}}
models: [{match: x, use: 5, prices: [{input: 1}, {input: 2}]}, {match: y, use: a, prices: {input: a}}]
limits: [{name: a, key: jwt.sub, requests: 5}]
server: {body_limit: [], body_memory: 1kB}
"""
    assert [path for path, *_ in told(check(folder, text))] == [
        "auth.mode",
        "backends.a.api_key.callable",
        "limits[0].requests",
        "models[0].use",
        "models[1].prices.input",
        "policy.default",
        "server.body_limit",
    ]


ALL = [*mistyped(BUILT), *MEANT_OTHERWISE]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(ALL), min_size=1, max_size=8))
def test_any_mistakes_at_once_are_told_at_their_places(folder: Path, chosen: list[Mutation]) -> None:
    group = next(groups(chosen))
    text, places = write(mutated(BUILT, group))
    assert told(check(folder, text)) == expected(group, places)


def test_the_work_for_very_many_mistakes_is_bounded(folder: Path) -> None:
    checked = check(folder, "".join(f"key{number}: 1\n" for number in range(700)), nothing)
    assert len(checked.findings) == MOST + 1
    assert str(checked.findings[-1]).endswith("llmgate.yaml: error: and 202 more")

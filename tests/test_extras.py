"""With nothing but the wheel, each command and each name ends in a message that says which extra to install."""

from __future__ import annotations

import re
from importlib.metadata import packages_distributions
from pathlib import Path

import click
import pytest
from packaging.utils import canonicalize_name

from asgi_llmgate.cli import main
from asgi_llmgate.extras import MODULES, MissingExtra, needs_extra
from tests.helpers.distribution.project import WHEEL, extras, requirements
from tests.helpers.installation import ROOT
from tests.library.without_extras import run_commands, run_python

SETTINGS = """
auth: {mode: "off"}
backends: {o: {base_url: http://127.0.0.1:1/v1}}
models: [{match: "*", use: o}]
policy: {default: allow}
"""

FEATURES = {
    "ledger": "ledger: {}",
    "postgresql": "ledger: {url: postgresql://127.0.0.1/x}",
    "prices": "prices: genai-prices",
    "otel": "otel: true",
    "prometheus": "prometheus: true",
}
"""Extra -> the setting under `usage` that needs it."""

SAFEGUARDS = """
safeguards: {rules: [{name: x, outcome: flag, when: 'tool.commands.exists(c, c[0] == "x")'}]}
"""

LATIN_1 = b"caf\xe9: 1\n"

COMMANDS: list[tuple[str, str]] = [
    ("demo --once", r"llmgate demo needs \w+ .*\[demo\]"),
    ("serve", r"llmgate serve needs uvicorn .*\[serve\]"),
    ("check --config ledger.yaml", r"usage\.ledger: the ledger needs sqlalchemy .*\[ledger\]"),
    ("check --config prices.yaml", r"usage\.prices: the price catalogue needs genai_prices .*\[prices\]"),
    ("check --config otel.yaml", r"usage\.otel: OpenTelemetry needs opentelemetry .*\[otel\]"),
    ("check --config prometheus.yaml", r"usage\.prometheus: Prometheus needs prometheus_client .*\[prometheus\]"),
    ("check --config safeguards.yaml", r"rules\[0\]\.when: tool\.commands needs tree_sitter\w* .*\[safeguards\]"),
    ("usage report --config ledger.yaml", r"the ledger needs sqlalchemy .*\[ledger\]"),
    ("usage tail --config ledger.yaml", r"the ledger needs sqlalchemy .*\[ledger\]"),
    ("usage prune --config ledger.yaml", r"the ledger needs sqlalchemy .*\[ledger\]"),
    ("usage drain --config ledger.yaml", r"the ledger needs sqlalchemy .*\[ledger\]"),
    ("check --config latin1.yaml", "latin1.yaml:1:4: error: is not UTF-8"),
    ("policy test latin1.yaml", "latin1.yaml is not UTF-8"),
    ("policy explain --claims latin1.yaml", "latin1.yaml is not UTF-8"),
    ("policy explain --token latin1.yaml", "the token is not a JWT"),
    ("mint --dir latin1.yaml", "latin1.yaml cannot be used"),
    ("jwks --dir latin1.yaml", "latin1.yaml cannot be used"),
]
"""A command, and what its message says."""


def every_command(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The words of each command, those of groups included."""
    found = []
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        found += every_command(command, (*path, name)) if isinstance(command, click.Group) else [(*path, name)]
    return found


def write_settings(folder: Path) -> None:
    """The files that COMMANDS name."""
    (folder / "llmgate.yaml").write_text(SETTINGS)
    (folder / "latin1.yaml").write_bytes(LATIN_1)
    (folder / "safeguards.yaml").write_text(SETTINGS + SAFEGUARDS)
    for extra, setting in FEATURES.items():
        (folder / f"{extra}.yaml").write_text(f"{SETTINGS}usage: {{{setting}}}\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_settings(tmp_path)
    return tmp_path


def test_a_command_that_needs_an_extra_says_which(folder: Path) -> None:
    done = run_commands([command.split() for command, _ in COMMANDS], folder)
    wrong = [
        (command, each)
        for (command, message), each in zip(COMMANDS, done, strict=True)
        if each.crash or each.code == 0 or not re.search(message, each.output)
    ]
    assert wrong == []


def test_no_command_ends_in_a_traceback(folder: Path) -> None:
    """Those that are added later as well: each is run without arguments, and with `--help`."""
    commands = every_command(main)
    assert {"demo", "check"} <= {words[0] for words in commands}
    done = run_commands([*commands, *((*words, "--help") for words in commands)], folder)
    assert [(words, each.crash) for words, each in zip(commands * 2, done, strict=True) if each.crash] == []
    assert {each.code for each in done[len(commands) :]} == {0}


IMPORTS = [
    ("from asgi_llmgate import Ledger", "the ledger needs sqlalchemy", "ledger"),
    ("from asgi_llmgate.usage import Database", "the ledger needs sqlalchemy", "ledger"),
    ("from asgi_llmgate import UsagePage", "the usage page needs sqlalchemy", "page"),
    ("from asgi_llmgate.usage import OpenTelemetry", "OpenTelemetry needs opentelemetry", "otel"),
    ("from asgi_llmgate.usage import ServerSpan", "OpenTelemetry needs opentelemetry", "otel"),
    ("from asgi_llmgate.usage import Prometheus", "Prometheus needs prometheus_client", "prometheus"),
    ("import asgi_llmgate.workers", "this worker needs uvicorn_worker", "gunicorn"),
    ("import asgi_llmgate.uvicorn_protocol", "serving needs uvicorn", "serve"),
    ("import llmgate_django", "llmgate_django needs django", "django"),
    ("import llmgate_starlette", "llmgate_starlette needs starlette", "starlette"),
    ("import llmgate_quart", "llmgate_quart needs quart", "quart"),
]


def test_an_import_that_needs_an_extra_says_which() -> None:
    code = "\n".join(
        f"try:\n    {statement}\nexcept ImportError as error:\n    print(error)" for statement, _, _ in IMPORTS
    )
    done = run_python(code)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        f'{message} (pip install "./{WHEEL}[{extra}]", or another way in docs/how-to/install.md)'
        for _, message, extra in IMPORTS
    ]


def test_the_outer_extra_is_named_where_one_feature_needs_another() -> None:
    done = run_python("import asgi_llmgate.page", hidden=["sqlalchemy"])
    assert "the usage page needs sqlalchemy" in done.stderr
    assert "[page]" in done.stderr
    assert "[ledger]" not in done.stderr


@pytest.mark.parametrize(
    ("error", "needed"),
    [
        (ModuleNotFoundError("No module named 'uvicorn'", name="uvicorn"), "uvicorn"),
        (
            ModuleNotFoundError("No module named 'uvicorn.new'", name="uvicorn.new"),
            "uvicorn in another version: No module named 'uvicorn.new'",
        ),
        (
            ImportError("cannot import name 'x' from 'uvicorn'", name="uvicorn"),
            "uvicorn in another version: cannot import name 'x' from 'uvicorn'",
        ),
    ],
)
def test_what_is_missing_is_told_from_what_is_too_old(error: ImportError, needed: str) -> None:
    words = re.escape(f"serving needs {needed} (pip install")
    with pytest.raises(MissingExtra, match=words) as caught, needs_extra("serve", "serving"):
        raise error
    assert caught.value.name == "uvicorn"


@pytest.mark.parametrize("error", [ModuleNotFoundError("No module named 'h11'", name="h11"), ImportError("x")])
def test_an_error_of_other_packages_stays_what_it_is(error: ImportError) -> None:
    with pytest.raises(type(error)) as caught, needs_extra("serve", "serving"):
        raise error
    assert caught.value is error


def test_each_extra_is_listed_with_the_packages_that_it_brings() -> None:
    """MODULES against pyproject.toml; packages whose modules no code imports by name are left out."""
    assert MODULES.keys() == extras().keys() - {"compression"}
    homes = {module: set(map(canonicalize_name, names)) for module, names in packages_distributions().items()}

    def distributions(extra: str) -> set[str]:
        return {canonicalize_name(each.name) for each in requirements(extra)}

    for extra, modules in MODULES.items():
        for module in modules:
            brought = homes.get(module, set()) & distributions(extra)
            assert brought or module == "opentelemetry", f"{module} is not of the extra {extra}"
    assert any(name.startswith("opentelemetry-") for name in distributions("otel"))


def test_no_message_tells_to_install_from_an_index() -> None:
    """No index has the project: `pip install asgi-llmgate` would install whatever a stranger puts there."""
    folders = [ROOT / "asgi_llmgate", ROOT / "integrations"]
    files = [file for folder in folders for file in folder.rglob("*.py")]
    assert len(files) > 150
    found = [str(file) for file in files if re.search(r"pip install ['\"]?asgi-llmgate", file.read_text())]
    assert found == []

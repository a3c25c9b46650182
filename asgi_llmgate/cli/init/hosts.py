"""The web frameworks that `llmgate init` knows: how each is recognised in a folder, and how it gets a gateway."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import click

_SIZE = 200_000
"""Characters of a file that are searched for an app."""


@dataclass(frozen=True, slots=True)
class Host:
    """`name` is the extra of this distribution too.  `constructor` makes the framework's app; `additions` are the
    lines that mount the gateway in an app that is there already, by file."""

    name: str
    title: str
    constructor: str = ""
    additions: Mapping[str, str] | None = None
    prefix: str = "/llm"


HOSTS: Mapping[str, Host] = {
    host.name: host
    for host in (
        Host("django", "Django"),
        Host(
            "starlette",
            "Starlette",
            "Starlette",
            {
                "": 'from asgi_llmgate import Gateway\n\ngateway = Gateway.from_file("llmgate.yaml")',
                "in routes": 'Mount("/llm", app=gateway)',
                "in Starlette(...)": "lifespan=gateway.lifespan",
            },
        ),
        Host(
            "fastapi",
            "FastAPI",
            "FastAPI",
            {
                "": 'from asgi_llmgate import Gateway\n\ngateway = Gateway.from_file("llmgate.yaml")',
                "in FastAPI(...)": "lifespan=gateway.lifespan",
                "after it": 'app.mount("/llm", gateway)',
            },
        ),
        Host(
            "quart",
            "Quart",
            "Quart",
            {"": 'from llmgate_quart import LLMGate\n\napp.config["LLMGATE"] = "llmgate.yaml"\nLLMGate(app)'},
        ),
        Host("serve", "no web framework: `llmgate serve`", prefix=""),
    )
}


@dataclass(frozen=True, slots=True)
class App:
    """An app of the user's own: its file, and the name of the variable."""

    file: Path
    variable: str

    @property
    def has_gateway(self) -> bool:
        """Whether the file imports this package."""
        return re.search(r"^\s*(?:from|import) (?:asgi_)?llmgate", _beginning(self.file), re.MULTILINE) is not None


def detect(folder: Path) -> tuple[Host, str]:
    """The host for a folder, and why it is this one.  Raises UsageError where two of them are as likely."""
    if (folder / "manage.py").is_file():
        return HOSTS["django"], "manage.py is here"
    for host in HOSTS.values():
        if app := own_app(host, folder):
            return host, f"{app.file.name} makes a {host.title} app"
    installed = [name for name in ("fastapi", "quart", "starlette") if is_installed(name)]
    if "fastapi" in installed and "starlette" in installed:
        installed.remove("starlette")  # FastAPI brings it
    if not installed and is_installed("django"):
        return HOSTS["django"], "django is installed"
    if not installed:
        return HOSTS["serve"], "no web framework is installed"
    if len(installed) > 1:
        raise click.UsageError(
            f"{' and '.join(installed)} are installed: say which one, such as `llmgate init {installed[0]}`"
        )
    return HOSTS[installed[0]], f"{installed[0]} is installed"


def is_installed(package: str) -> bool:
    """Whether a package can be imported; it is not imported."""
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):  # a finder of somebody's own that forbids it
        return False


def own_app(host: Host, folder: Path) -> App | None:
    """The user's app in a file of this folder, such as `app = FastAPI()`."""
    if not host.constructor:
        return None
    assigned = re.compile(rf"^(?P<name>\w+)\s*(?::[^=\n]*)?=\s*(?:\w+\.)?{host.constructor}\(", re.MULTILINE)
    for file in sorted(folder.glob("*.py")):
        if found := assigned.search(_beginning(file)):
            return App(file, found["name"])
    return None


def _beginning(file: Path) -> str:
    with file.open(encoding="utf-8", errors="replace") as opened:
        return opened.read(_SIZE)


def django_settings(folder: Path) -> tuple[str, str]:
    """The package of the settings that manage.py names, and their file: `mysite`, `mysite/settings.py`.

    Raises ClickException where there is no manage.py, or it does not say.
    """
    try:
        text = (folder / "manage.py").read_text("utf-8", errors="replace")
    except FileNotFoundError:
        raise click.ClickException(_without_manage_py(folder)) from None
    found = re.search(r"""DJANGO_SETTINGS_MODULE["'],\s*["']([\w.]+)["']""", text)
    module = found[1] if found else ""
    place = module.replace(".", "/")
    file = next((name for name in (f"{place}.py", f"{place}/__init__.py") if (folder / name).is_file()), "")
    if not (file and "." in module):
        raise click.ClickException(
            "manage.py does not name a settings module in a package of this folder, such as mysite.settings; "
            "write the settings by hand: docs/tutorial/django.md"
        )
    return module.partition(".")[0], file


def assigns_llmgate(settings: Path) -> bool:
    """Whether Django's settings have an LLMGATE of their own, and not an import of it."""
    text = settings.read_text("utf-8", errors="replace")
    return re.search(r"^[ \t]*LLMGATE[ \t]*(:[^=\n]*)?=(?!=)", text, re.MULTILINE) is not None


def _without_manage_py(folder: Path) -> str:
    near = [*folder.glob("*/manage.py"), *(parent / "manage.py" for parent in list(folder.parents)[:3])]
    for place in near:
        if place.is_file():
            return f"there is no manage.py here: the site is in {place.parent}; run the command there"
    return (
        "there is no manage.py here: run the command in the folder of your site, "
        "or make a site first: django-admin startproject mysite ."
    )


def addition_lines(host: Host, variable: str) -> Iterator[str]:
    """What the user adds to an app, as lines to print; `variable` is the name of the app."""
    for place, text in (host.additions or {}).items():
        if place:
            yield f"# {place}"
        yield from re.sub(r"\bapp\b(?!=)", variable, text).splitlines()

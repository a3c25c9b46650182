"""`spec.ai.provider`: the address, the dialect and the model of a provider."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from asgi_llmgate.cli.convert.manifests import Entry
from asgi_llmgate.cli.convert.notes import Notes

HOSTS: Mapping[str, str] = MappingProxyType(
    {
        "api.openai.com": "openai",
        "api.anthropic.com": "anthropic",
        "api.deepseek.com": "deepseek",
        "api.mistral.ai": "mistral",
        "api.groq.com": "groq",
        "openrouter.ai": "openrouter",
        "api.x.ai": "xai",
        "api.moonshot.ai": "moonshot",
        "api.minimax.io": "minimax",
        "api.z.ai": "zhipu",
        "generativelanguage.googleapis.com": "gemini",
    }
)
_WORDS = ("ollama", "vllm", "sglang", "llamacpp", "lmstudio", "openrouter", "huggingface")
_OLLAMA_PORT = 11434


@dataclass(slots=True)
class Server:
    """A model server.  `model` is empty where the request names it; `notes` are comments for its settings."""

    base_url: str
    dialect: str
    model: str = ""
    path: str = ""
    notes: tuple[str, ...] = ()
    token: Entry | None = None
    """The credential, where it is written beside the model (kgateway's `authToken`)."""
    scheme_open: bool = False
    """Whether the scheme is http only because nothing has asked for TLS."""


def read_provider(provider: Entry, namespace: str, notes: Notes, place: Entry | None = None) -> Server | None:
    """The server of `provider`, whose kind is the name of a member (`openai: {model: ...}`); None if there is none.

    `place` has the host and the path that replace the provider's own, where they are not beside the kind.
    """
    for kind, read in _KINDS.items():
        if kind in provider:
            config = provider.get(kind)
            server = read(config, namespace, notes)
            server.model = server.model or config.get("model").text()
            server.token = config.get("authToken")
            return _at_host(place or provider, server, notes)
    return None


def _at_host(provider: Entry, server: Server, notes: Notes) -> Server:
    """The server with the host, port and path that replace the provider's own."""
    host, port = provider.get("host").text(), provider.get("port").number(0)
    if override := provider.get("hostOverride"):
        host, port = _override(override)
    given = provider.first("path", "pathOverride")
    path = given.text() if given.is_text else given.get("fullPath").text()
    prefix = provider.get("pathPrefix").text()
    if not host:
        if prefix:
            root = server.base_url.split("//", 1)[1].split("/", 1)[0]
            server.base_url = f"https://{root}{prefix.rstrip('/')}"
        elif path:
            notes.ignore(given, hint="base_url is the part of the address before the endpoint")
        return server
    scheme = "https" if port == 443 else "http"
    at = f"{scheme}://{host}" + (f":{port}" if port and scheme == "http" else "")
    _place(server, at, path or server.path, prefix)
    _name_dialect(server, host, port)
    return server


def _override(entry: Entry) -> tuple[str, int]:
    """Host and port of `hostOverride`: HOST:PORT in a configuration file, a mapping in kgateway's resources."""
    if not entry.is_text:
        return entry.get("host").text(), entry.get("port").number(0)
    host, _, number = entry.text().rpartition(":")
    if not host or not number.isdecimal():
        raise entry.error("must be HOST:PORT")
    return host, int(number[:6])


def _place(server: Server, at: str, path: str, prefix: str = "") -> None:
    """Set the address: `at` with the base path; `path` is the whole path of the endpoint, where it is given."""
    server.scheme_open = at.startswith("http:")
    end = "/messages" if server.dialect == "anthropic" else "/chat/completions"
    if path.endswith(end):
        server.base_url, server.path = at + path.removesuffix(end), ""
    elif path:
        server.base_url, server.path = at, path
    else:
        server.base_url = at + (prefix.rstrip("/") or "/v1")


def _name_dialect(server: Server, host: str, port: int) -> None:
    """The dialect of a server with OpenAI's API that is not OpenAI's own."""
    if server.dialect in ("openai", "generic"):
        server.dialect, words = _guess(host, port)
        server.notes += (words,) if words else ()


def _guess(host: str, port: int) -> tuple[str, str]:
    """The dialect of a server with OpenAI's API, and a comment."""
    if host in HOSTS:
        return HOSTS[host], ""
    if port == _OLLAMA_PORT:
        return "ollama", ""
    for word in _WORDS:
        if word in host:
            return word, ""
    return "generic", "name the server's dialect if there is one: vllm, ollama, ... (docs/reference/dialects.md)"


def _openai(config: Entry, namespace: str, notes: Notes) -> Server:
    return Server("https://api.openai.com/v1", "openai")


def _anthropic(config: Entry, namespace: str, notes: Notes) -> Server:
    return Server("https://api.anthropic.com/v1", "anthropic", notes=("nothing is translated for this server",))


def _gemini(config: Entry, namespace: str, notes: Notes) -> Server:
    return Server("https://generativelanguage.googleapis.com/v1beta/openai", "gemini")


def _vertex(config: Entry, namespace: str, notes: Notes) -> Server:
    project, region = config.get("projectId").text(), config.get("region").text("global")
    host = "aiplatform.googleapis.com" if region == "global" else f"{region}-aiplatform.googleapis.com"
    model = config.get("model").text()
    words = notes.differ(
        config,
        "Vertex AI is asked through its OpenAI-compatible endpoint, with models such as google/gemini-2.5-pro",
        "Claude models of Vertex AI are not available there",
    )
    return Server(
        f"https://{host}/v1/projects/{project}/locations/{region}/endpoints/openapi",
        "gemini",
        model if not model or "/" in model else f"google/{model}",
        notes=(words,),
    )


def _bedrock(config: Entry, namespace: str, notes: Notes) -> Server:
    region = config.get("region").text("us-east-1")
    words = notes.differ(
        config,
        "Bedrock is asked through its OpenAI-compatible endpoint, with an API key of Bedrock",
        "which models it has there: docs/reference/dialects.md",
    )
    return Server(f"https://bedrock-runtime.{region}.amazonaws.com/openai/v1", "bedrock", notes=(words,))


def _azure_openai(config: Entry, namespace: str, notes: Notes) -> Server:
    host = config.get("endpoint").text().removeprefix("https://").removeprefix("http://").rstrip("/")
    return _azure_at(host, config.get("apiVersion").text(), config.get("deploymentName").text())


def _azure(config: Entry, namespace: str, notes: Notes) -> Server:
    name, kind = config.get("resourceName").text(), config.get("resourceType").text()
    version, model = config.get("apiVersion").text(), config.get("model").text()
    if kind == "Foundry":
        project = config.get("projectName").text()
        return Server(f"https://{name}.services.ai.azure.com/api/projects/{project}/openai/v1", "azure")
    return _azure_at(f"{name}.openai.azure.com", version, model)


def _azure_at(host: str, version: str, deployment: str) -> Server:
    """Azure's API of today (`v1`), or that of a version, where the address names the deployment."""
    if version in ("", "v1"):
        return Server(f"https://{host}/openai/v1", "azure", deployment)
    return Server(f"https://{host}/openai/deployments/{deployment}?api-version={version}", "azure", deployment)


def _custom(config: Entry, namespace: str, notes: Notes) -> Server:
    """A server of one's own, with the API formats that it has."""
    formats = {upper_first(each.get("type").text()): each for each in config.get("formats").each()}
    chosen = next((name for name in ("Completions", "Messages") if name in formats), "")
    for name, entry in formats.items():
        if name != chosen:
            entry.accept()
            notes.ignore(entry, f"the format {name}", "a passthrough route forwards other APIs")
    server = Server("", "anthropic" if chosen == "Messages" else "generic")
    if not chosen:
        server.notes = (notes.differ(config, "no format is known here, so chat completions are assumed"),)
    path = server.path = formats[chosen].get("path").text() if chosen else ""
    if ref := config.get("backendRef"):
        ref.skip("group")
        kind, name, port = ref.get("kind").text("Service"), ref.get("name").text(), ref.get("port").number(80)
        if kind != "Service":
            words = notes.differ(ref, f"the address of {kind} {name} is not known", "write it into base_url")
            server.notes += (words,)
        _place(server, f"http://{name}.{namespace}.svc.cluster.local:{port}", path)
        _name_dialect(server, name, port)
    return server


def upper_first(text: str) -> str:
    """`messages` of a configuration file as `Messages`, as resources have it."""
    return text[:1].upper() + text[1:]


_KINDS: Mapping[str, Callable[[Entry, str, Notes], Server]] = MappingProxyType(
    {
        "openai": _openai,
        "openAI": _openai,
        "azureopenai": _azure_openai,
        "azure": _azure,
        "anthropic": _anthropic,
        "gemini": _gemini,
        "vertexai": _vertex,
        "vertex": _vertex,
        "bedrock": _bedrock,
        "custom": _custom,
    }
)

from __future__ import annotations

from typing import Any

import pytest

from asgi_llmgate.auth import JWTProvider, metadata_url, protected_resource


def provider(issuer: str, **options: Any) -> JWTProvider:
    return JWTProvider(issuers=[issuer], audiences=["llm"], jwks={"keys": []}, **options)


def test_the_document_names_who_gives_out_tokens() -> None:
    providers = [
        provider("https://sso.acme.test/realms/acme", required_scopes=["llm.use"]),
        provider("claude-code-lab"),
        provider("https://login.microsoftonline.com/{tenantid}/v2.0", required_scopes=["llm.use", "llm.admin"]),
    ]
    assert protected_resource("https://app.acme.test/llm", providers, name="Acme LLM") == {
        "resource": "https://app.acme.test/llm",
        "authorization_servers": ["https://sso.acme.test/realms/acme"],
        "bearer_methods_supported": ["header"],
        "scopes_supported": ["llm.admin", "llm.use"],
        "resource_name": "Acme LLM",
    }


def test_what_there_is_not_is_not_said() -> None:
    assert set(protected_resource("https://x.test", [])) == {
        "resource",
        "authorization_servers",
        "bearer_methods_supported",
    }


@pytest.mark.parametrize(
    ("resource", "url"),
    [
        ("https://x.test", "https://x.test/.well-known/oauth-protected-resource"),
        ("https://x.test/", "https://x.test/.well-known/oauth-protected-resource"),
        ("https://x.test/llm", "https://x.test/.well-known/oauth-protected-resource/llm"),
        ("https://x.test:8443/a/b/", "https://x.test:8443/.well-known/oauth-protected-resource/a/b"),
    ],
)
def test_the_documents_address_has_the_resources_path_behind(resource: str, url: str) -> None:
    assert metadata_url(resource) == url

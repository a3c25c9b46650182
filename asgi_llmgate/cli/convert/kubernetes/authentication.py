"""`jwtAuthentication` -> `auth`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from asgi_llmgate.cli.convert.kubernetes.credentials import Credentials
from asgi_llmgate.cli.convert.kubernetes.matches import any_of, literal
from asgi_llmgate.cli.convert.manifests import Entry, Manifest
from asgi_llmgate.cli.convert.notes import Notes
from asgi_llmgate.cli.convert.writer import noted

UNKNOWN_AUDIENCE = "SET-THE-AUDIENCE"
"""Where a manifest accepts any audience: no token is for this one, so nobody gets in before it is replaced."""

KEY_FILE = "jwks.json"
"""Where keys are expected that the gateway cannot fetch."""

_MODES: Mapping[str, str] = MappingProxyType({"Strict": "strict", "Optional": "optional", "Permissive": "permissive"})
_STRICTEST = tuple(_MODES.values())
_PUBLIC = frozenset({"kty", "use", "key_ops", "alg", "kid", "n", "e", "crv", "x", "y", "x5u", "x5c", "x5t", "x5t#S256"})
"""Members of a public key (RFC 7517 and 7518): nothing else of a key is written into settings."""


@dataclass(slots=True)
class Authentication:
    """What all `jwtAuthentication` of the policies ask for, each with its scope."""

    credentials: Credentials
    notes: Notes
    providers: list[Any] = field(default_factory=list)
    modes: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    issuers: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    """(scope, issuers that are accepted there)"""
    replaced: list[str] = field(default_factory=list)
    """Ways to know a caller that are not there; without a token nobody gets in."""

    def read(self, jwt: Entry, owner: Manifest, scope: str, default: str = "Strict") -> None:
        """`jwtAuthentication` of a policy, or `jwtAuth` of a configuration file, which may be a provider itself."""
        mode = jwt.get("mode").text(default).capitalize()
        if mode not in _MODES:
            raise jwt.get("mode").error(f"unknown mode {mode!r}", "one of " + ", ".join(_MODES))
        self.modes.append(_MODES[mode])
        self.notes.carry(jwt, "auth")
        entries = [jwt] if "issuer" in jwt else jwt.get("providers").each()
        if not entries:
            raise jwt.error("no providers")
        for entry in entries:
            self.providers.append(self._provider(entry, owner))
        self.issuers.append((scope, tuple(entry.get("issuer").text() for entry in entries)))
        if scope:
            self.notes.differ(jwt, "tokens are verified for every request, not only on this route")
        self._location(jwt.get("location"))

    def read_others(self, policies: Entry, names: Iterable[str]) -> None:
        """The members of these names are ways to know a caller that this gateway does not have."""
        for name in names:
            if name in policies:
                message = "callers are known by tokens of an identity provider here"
                self.notes.ignore(policies.get(name), message, "auth.providers")
                self.replaced.append(name)

    def settings(self) -> Any:
        """`auth:`"""
        if not self.providers:
            return noted({"mode": "off"}, "no policy of the files verifies tokens, so callers have no identity")
        mode = min(self.modes, key=_STRICTEST.index)
        found: dict[str, Any] = {"mode": mode, "providers": self.providers}
        if self.sources:
            found["token_sources"] = list(dict.fromkeys(self.sources))
        several = len(set(self.modes)) > 1
        return noted(found, "the files have several modes; the strictest one is here" if several else "")

    def rules(self) -> list[Any]:
        """Rules that keep the issuers of one scope out of another."""
        if len({issuers for _, issuers in self.issuers}) < 2:
            return []
        others = any_of(*(scope for scope, _ in self.issuers if scope))
        found = []
        for number, (scope, issuers) in enumerate(self.issuers):
            accepted = f"identity.issuer in [{', '.join(map(literal, issuers))}]"
            exempt = f"!({scope})" if scope else (f"({others})" if others else "")
            when = f"{exempt} || {accepted}" if exempt else accepted
            found.append(
                {
                    "name": f"issuers-{number + 1}",
                    "action": "require",
                    "when": when,
                    "reason": "your token is from an identity provider that is not accepted for this path",
                }
            )
        return found

    def _provider(self, entry: Entry, owner: Manifest) -> Any:
        issuer = entry.get("issuer").text()
        if not issuer:
            raise entry.error("no issuer")
        found: dict[str, Any] = {"issuer": issuer}
        said = [f"from {entry.place}"]
        if audiences := [each.text() for each in entry.get("audiences").each()]:
            found["audiences"] = audiences
        else:
            message = "without audiences a token for any other application would be accepted"
            said.append(self.notes.differ(entry, message, f"replace {UNKNOWN_AUDIENCE} by the aud of your tokens"))
            found["audiences"] = [UNKNOWN_AUDIENCE]
        if claims := entry.get("jwtValidationOptions", "requiredClaims").each():
            found["required_claims"] = [each.text() for each in claims]
        jwks = entry.get("jwks")
        if jwks.is_text or jwks.get("inline"):
            found["jwks"] = {"inline": self._inline(jwks if jwks.is_text else jwks.get("inline"))}
        elif file := jwks.get("file").text():
            found["jwks"] = {"file": file}
        else:
            url = self._remote(jwks, owner)
            message = "keys are fetched over https only" if url else "the address of the keys is not in these files"
            if url.startswith("https://"):
                found["jwks"] = {"url": url}
            elif issuer.startswith("https://"):
                said.append(self.notes.differ(jwks or entry, f"{message}, so they are found through the issuer"))
                found["jwks"] = {"discovery": True}
            else:
                hint = f"curl -o {KEY_FILE} {url or 'ADDRESS'}"
                said.append(self.notes.differ(jwks or entry, f"{message}, so they are read from a file", hint))
                found["jwks"] = {"file": KEY_FILE}
        return noted(found, *said)

    def _remote(self, jwks: Entry, owner: Manifest) -> str:
        if url := jwks.get("url").text():
            return url
        remote = jwks.get("remote")
        return self.credentials.endpoint(remote, owner, remote.get("jwksPath").text()) if remote else ""

    def _inline(self, inline: Entry) -> dict[str, Any]:
        try:
            document = json.loads(inline.text())
            keys = document.get("keys", [document])
            public = [{name: value for name, value in key.items() if name in _PUBLIC} for key in keys]
        except (ValueError, TypeError, AttributeError, RecursionError):
            raise inline.error("not a JSON Web Key Set", '{"keys": [...]}') from None
        if any(len(public[index]) < len(key) for index, key in enumerate(keys)):
            self.notes.differ(inline, "only the public members of the keys are in the settings")
        return {"keys": public}

    def _location(self, location: Entry) -> None:
        header, cookie = location.get("header"), location.get("cookie")
        if name := header.get("name").text():
            prefix = header.get("prefix").text()
            if name.lower() == "authorization":
                if prefix and prefix.strip().lower() != "bearer":
                    self.notes.differ(header, "a token in authorization comes after Bearer")
                self.sources.append("authorization")
            else:
                self.sources.append("x-api-key" if name.lower() == "x-api-key" else f"header:{name.lower()}")
                if prefix:
                    self.notes.differ(header.get("prefix"), "the header has the token alone, without a prefix")
        if name := cookie.get("name").text():
            self.sources.append(f"cookie:{name}")

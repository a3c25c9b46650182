"""`matches` of an HTTPRoute as CEL conditions on the request, and how exact each one is.

Headers are looked for before they are read, so that a condition is never an error: a rule may negate it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote_plus

from asgi_llmgate.cli.convert.manifests import Entry
from asgi_llmgate.cli.convert.notes import Notes
from asgi_llmgate.rule_variables import CREDENTIALS

_NEVER = "false"


@dataclass(frozen=True, slots=True)
class Match:
    """One match.

    path       the path it names (`/` for all), and its kind: Exact, PathPrefix, RegularExpression
    condition  what else it asks for, as CEL; "" for nothing
    rank       the more, the more exact: of several matches that fit a request the most exact one counts
    """

    path: str
    kind: str
    condition: str
    rank: tuple[int, ...]

    @property
    def on_path(self) -> str:
        """The condition on the path; "" for any."""
        return path_condition(self.kind, self.path)

    @property
    def whole(self) -> str:
        return all_of(self.on_path, self.condition)


def read_matches(rule: Entry, hosts: str, notes: Notes) -> list[Match]:
    """The matches of a rule; `hosts` is the condition on the host of its route."""
    found = [_match(entry, hosts, notes) for entry in rule.get("matches").each()]
    return found or [any_request(hosts)]


def any_request(hosts: str = "") -> Match:
    """What a rule without matches asks for: any path, of the hosts."""
    return make_match("PathPrefix", "/", "", [], [], hosts)


def _match(entry: Entry, hosts: str, notes: Notes) -> Match:
    path = entry.get("path")
    kind, value = path.get("type").text("PathPrefix"), path.get("value").text("/")
    if kind not in _RANKS:
        raise path.error(f"unknown type {kind!r}", "one of " + ", ".join(_RANKS))
    headers = []
    for each in entry.get("headers").each():
        exact = each.get("type").text("Exact") == "Exact"
        headers.append(header_condition(each, each.get("value").text(), notes, exact=exact))
    queries = []
    for each in entry.get("queryParams").each():
        exact = each.get("type").text("Exact") == "Exact"
        queries.append(query_condition(each, each.get("value").text(), exact=exact))
    return make_match(kind, value, entry.get("method").text(), headers, queries, hosts)


def make_match(kind: str, value: str, method: str, headers: list[str], queries: list[str], hosts: str) -> Match:
    """A match of these parts; `headers`, `queries` and `hosts` are conditions."""
    conditions = [hosts, f"request.method == {literal(method)}" if method else "", *headers, *queries]
    rank = (_RANKS[kind], len(value), int(bool(method)), len(headers), len(queries))
    return Match(value, kind, all_of(*conditions), rank)


_RANKS = {"Exact": 3, "PathPrefix": 2, "RegularExpression": 1}


def path_condition(kind: str, path: str) -> str:
    if kind == "RegularExpression":
        return f"request.path.matches({literal(f'^(?:{path})$')})"
    path = path.rstrip("/")
    if not path:
        return ""
    if kind == "Exact":
        return f"request.path == {literal(path)}"
    return f'(request.path + "/").startsWith({literal(path + "/")})'


def header_condition(entry: Entry, value: str, notes: Notes, *, exact: bool) -> str:
    """The condition that the header of the entry's `name` has this value, or fits it as a regular expression."""
    name = entry.get("name").text().lower()
    if name in CREDENTIALS:
        notes.differ(entry, f"no condition can read the header {name} here, so this match fits no request")
        return _NEVER
    read = f"request.headers[{literal(name)}]"
    there = f"{literal(name)} in request.headers"
    if exact:
        return f"{there} && {read} == {literal(value)}"
    return f"{there} && {read}.matches({literal(f'^(?:{value})$')})"


def query_condition(entry: Entry, value: str, *, exact: bool) -> str:
    """The same for a parameter of the query."""
    name = re.escape(quote_plus(entry.get("name").text()))
    wanted = re.escape(quote_plus(value)) if exact else f"(?:{value})"
    return f"request.query.matches({literal(f'(?:^|&){name}={wanted}(?:&|$)')})"


def host_condition(hostnames: list[Entry]) -> str:
    """The condition that the request is for one of the names; `*.acme.test` is for any name under it."""
    if not hostnames:
        return ""
    names = [re.escape(entry.text().lower()).replace(r"\*\.", r"[^:]+\.") for entry in hostnames]
    return f"request.host.matches({literal('^(?:' + '|'.join(names) + ')(?::[0-9]+)?$')})"


def all_of(*conditions: str) -> str:
    given = [each for each in dict.fromkeys(conditions) if each]
    if len(given) == 1:
        return given[0]
    return " && ".join(f"({each})" if "||" in each else each for each in given)


def any_of(*conditions: str) -> str:
    """Any of them; "" (always) where one of them is."""
    given = list(dict.fromkeys(conditions))
    if not all(given):
        return ""
    return given[0] if len(given) == 1 else " || ".join(f"({each})" if "&&" in each else each for each in given)


def literal(text: str) -> str:
    """The text as a CEL string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in escaped) + '"'

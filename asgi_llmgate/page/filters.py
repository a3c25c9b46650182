"""What is asked of the page: a range of time and filters, from the query string and back into links."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from urllib.parse import parse_qsl, urlencode

_LONGEST = 256
_OURS = ("range", "before", "key")
_NONE: Mapping[str, str] = MappingProxyType({})
_MOST = 16
_LONGEST_QUERY = 16 * 1024
"""Bytes: room for as many filters as are taken, each letter escaped."""


@dataclass(frozen=True, slots=True)
class Span:
    """A range that can be chosen: `count` bars of `width` seconds each, from rollups of `grain` seconds."""

    label: str
    count: int
    width: int
    grain: int
    form: str

    def start(self, now: float) -> int:
        """Unix seconds at which the first bar begins; the last one holds `now`."""
        return int(now) - int(now) % self.width - (self.count - 1) * self.width


SPANS: Mapping[str, Span] = {
    "1h": Span("hour", 60, 60, 60, "%H:%M"),
    "24h": Span("24 hours", 24, 3600, 3600, "%H:%M"),
    "7d": Span("7 days", 28, 6 * 3600, 3600, "%b %-d %H:%M"),
    "30d": Span("30 days", 30, 86400, 86400, "%b %-d"),
    "90d": Span("90 days", 30, 3 * 86400, 86400, "%b %-d"),
    "1y": Span("year", 26, 14 * 86400, 86400, "%b %-d"),
}
DEFAULT = "24h"


@dataclass(frozen=True, slots=True)
class Query:
    """`filters`: dimension (`user`, `model`, `reason`, a usage field) -> the value it must have.  `before`: the latest
    calls are those with an id below this; 0 for the newest."""

    span: str = DEFAULT
    filters: Mapping[str, str] = field(default_factory=dict)
    before: int = 0

    @classmethod
    def parse(cls, query_string: bytes) -> Query:
        """Whatever a browser sends: what is not understood is left out."""
        try:
            pairs = dict(parse_qsl(query_string[:_LONGEST_QUERY].decode("latin-1"), max_num_fields=64))
        except ValueError:
            return cls()
        span, before = pairs.get("range", DEFAULT), pairs.get("before", "")
        chosen = {name: value[:_LONGEST] for name, value in list(pairs.items())[:_MOST] if name not in _OURS}
        return cls(
            span if span in SPANS else DEFAULT,
            chosen,
            int(before) if before.isascii() and before.isdigit() and len(before) < 19 else 0,
        )

    def about(self, names: Collection[str]) -> Query:
        """The same with those filters only that are about one of these dimensions."""
        return replace(self, filters={name: value for name, value in self.filters.items() if name in names})

    def link(self, *, span: str = "", before: int = 0, filters: Mapping[str, str] = _NONE) -> str:
        """The query string of this with another span or with further filters; it is about the newest calls again unless
        `before` says otherwise."""
        pairs = {"range": span or self.span, **self.filters, **filters}
        return "?" + urlencode(pairs | ({"before": str(before)} if before else {}))

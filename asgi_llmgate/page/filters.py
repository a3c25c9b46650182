"""The query string of the page: a range of time, filters and a position.  Read from requests and written into links."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from urllib.parse import parse_qsl, urlencode

_RESERVED = ("range", "before", "key")
"""Parameters that are not filters; `key` is a login link's."""

_NO_FILTERS: Mapping[str, str] = MappingProxyType({})

# Limits, since anything may be sent: filters, characters of a value, bytes of the query string.
_MAX_FILTERS = 16
_MAX_VALUE = 256
_MAX_QUERY = 16 * 1024


@dataclass(frozen=True, slots=True)
class Span:
    """A range of time: `count` bars of `width` seconds each, from rollups of `grain` seconds.

    `form` is the strftime format of a bar's start.
    """

    label: str
    count: int
    width: int
    grain: int
    form: str

    def start(self, now: float) -> int:
        """Start of the first bar; the last bar contains `now` (both Unix seconds)."""
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
    """One view of the page.

    `filters`: dimension (`user`, `model`, `reason`, a usage field) -> its value.  `before`: only calls with an id below
    this are listed; 0 for the newest calls.
    """

    span: str = DEFAULT
    filters: Mapping[str, str] = field(default_factory=dict)
    before: int = 0

    @classmethod
    def parse(cls, query_string: bytes) -> Query:
        """Parse a query string.  Parameters that are not valid are ignored."""
        try:
            # parse_qsl raises ValueError if there are more fields.
            pairs = dict(parse_qsl(query_string[:_MAX_QUERY].decode("latin-1"), max_num_fields=64))
        except ValueError:
            return cls()
        span, before = pairs.get("range", DEFAULT), pairs.get("before", "")
        chosen = {
            name: value[:_MAX_VALUE] for name, value in list(pairs.items())[:_MAX_FILTERS] if name not in _RESERVED
        }
        return cls(
            span if span in SPANS else DEFAULT,
            chosen,
            # 18 digits fit into 64 bits.
            int(before) if before.isascii() and before.isdigit() and len(before) < 19 else 0,
        )

    def about(self, names: Collection[str]) -> Query:
        """The same query with only the filters for these dimensions."""
        return replace(self, filters={name: value for name, value in self.filters.items() if name in names})

    def link(self, *, span: str = "", before: int = 0, filters: Mapping[str, str] = _NO_FILTERS) -> str:
        """The query string of this view with another range, further filters or another position; by default the newest
        calls."""
        pairs = {"range": span or self.span, **self.filters, **filters}
        return "?" + urlencode(pairs | ({"before": str(before)} if before else {}))

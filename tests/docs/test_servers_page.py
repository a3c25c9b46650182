from __future__ import annotations

import re

from tests.helpers.installation import ROOT
from tests.servers.server_table import EVERY_WAY, Server


def row(server: Server) -> tuple[str, ...]:
    when = f"after {server.grace} s" if server.grace else "at once"
    alone = "waits for its end" if server.alone == "waits" else f"{server.alone} {when}"
    drains, http2 = ("yes" if each else "no" for each in (server.drains, server.http2))
    return f"`{server.name}`", f"{server.workers or 1}", server.stalled, alone, drains, http2


def test_the_servers_page_is_the_table_that_the_servers_are_tested_with() -> None:
    page = (ROOT / "docs" / "reference" / "servers.md").read_text("utf-8")
    rows = re.findall(r"^\| (`.*`) \| (.*) \| (.*) \| (.*) \| (.*) \| (.*) \|$", page, re.MULTILINE)
    assert rows == [row(server) for server in EVERY_WAY]

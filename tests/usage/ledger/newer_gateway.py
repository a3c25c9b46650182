"""A process of a later version, with more columns and a further table.  It writes one record for each line it reads.

python -m tests.usage.ledger.newer_gateway URL FOLDER
"""

from __future__ import annotations

import asyncio
import sys

import sqlalchemy as sa

from asgi_llmgate.usage.ledger import Ledger, schema
from tests.usage.ledger.records import record

COLUMNS = (
    (schema.usage_record, sa.Column("region", sa.Text, nullable=False, server_default="")),
    (schema.usage_record, sa.Column("cached", sa.Boolean, nullable=False, server_default=sa.false())),
    (schema.usage_record, sa.Column("labels", schema.JSON)),
    (schema.usage_series, sa.Column("region", sa.Text, nullable=False, server_default="")),
    (schema.usage_rollup, sa.Column("refused", sa.BigInteger, nullable=False, server_default="0")),
    (schema.usage_tools, sa.Column("refused", sa.BigInteger, nullable=False, server_default="0")),
)


async def main(url: str, folder: str) -> None:
    for table, column in COLUMNS:
        table.append_column(column)
    sa.Table("usage_region", schema.metadata, sa.Column("name", sa.Text, primary_key=True))
    ledger = Ledger(sa.make_url(url), journal=folder, linger=0.0)
    ledger.database.migrate()
    print("ready", flush=True)
    for line in sys.stdin:
        ledger.emit(record(line.strip(), subject="of the newer"))
    await ledger.aclose()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

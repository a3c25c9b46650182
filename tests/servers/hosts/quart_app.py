from __future__ import annotations

from gate import gateway, pid
from quart import Quart

from asgi_llmgate import mount

app = Quart(__name__)
app.asgi_app = mount(app.asgi_app, "/llm", gateway())  # type: ignore[method-assign]


@app.get("/pid")
async def page() -> str:
    return pid()

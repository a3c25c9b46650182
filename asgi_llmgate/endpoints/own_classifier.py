"""The questions of Claude Code's own classifier, answered by the rules and the classifier of the settings.

What these do not decide is carried to the model that it is for, and so is a question that does not tell the call for
certain.
"""

from __future__ import annotations

from asgi_llmgate._types import Receive, Scope, Send
from asgi_llmgate.asgi import ClientConnection, Draining
from asgi_llmgate.asgi.client_connection import STALL
from asgi_llmgate.endpoints.calls import Calls
from asgi_llmgate.endpoints.verdicts import Judge, Verdicts
from asgi_llmgate.errors import ClientGone
from asgi_llmgate.exchange import Exchange
from asgi_llmgate.exchange_values import ToolUse
from asgi_llmgate.protocol.forwarded_request import ForwardedRequest
from asgi_llmgate.protocol.messages.request import MessagesRequest
from asgi_llmgate.protocol.response_handler import Held
from asgi_llmgate.protocol.safeguards.own_classifier import answer, tool_use_in_question


class OwnClassifier:
    """The endpoint for calls, in front of `calls`; `judge` decides. The rest is as for Calls."""

    def __init__(self, calls: Calls, judge: Judge, *, draining: Draining, client_stall: float = STALL) -> None:
        self._calls = calls
        self._judge = judge
        self._draining = draining
        self._client_stall = client_stall

    async def respond(
        self,
        scope: Scope,
        exchange: Exchange,
        request: MessagesRequest | ForwardedRequest,
        receive: Receive,
        send: Send,
        *,
        query: str = "",
    ) -> None:
        """As `Calls.respond`."""
        if isinstance(request, MessagesRequest) and (use := tool_use_in_question(request)) is not None:
            try:
                async with ClientConnection(receive, send, stall=self._client_stall) as client:
                    if await self._answer(scope, exchange, request, use, client):
                        return
            except ClientGone as error:
                exchange.settle_error("client_disconnect", error)
                return
        await self._calls.respond(scope, exchange, request, receive, send, query=query)

    async def _answer(
        self, scope: Scope, exchange: Exchange, request: MessagesRequest, use: ToolUse, client: ClientConnection
    ) -> bool:
        """Answer the question; False where there is no verdict. Raises ShuttingDown."""
        verdicts = Verdicts(self._judge, scope, exchange, request)
        async with self._draining.call():
            await verdicts.find(Held((use,)))
        [verdict] = verdicts.found
        if verdict.outcome == "unavailable":
            return False
        exchange.verdicts = verdicts.found
        exchange.settle("ok")
        id = exchange.request_id
        body = answer(verdict, id="msg_" + id.removeprefix("req_"), model=request.model)
        await client.start(200, [(b"content-type", b"application/json"), (b"request-id", id.encode("ascii"))])
        await client.end(body)
        return True

"""The ASGI side: request bodies, paths, responses, the client's connection, and how a gateway is mounted in a host."""

from asgi_llmgate.asgi.body import Body, drain
from asgi_llmgate.asgi.client_connection import ClientConnection
from asgi_llmgate.asgi.draining import Draining
from asgi_llmgate.asgi.front import Front, Health
from asgi_llmgate.asgi.lifespan import Hooks, run_lifespan
from asgi_llmgate.asgi.mounting import PROTECTED_RESOURCE, Mountable, Mounted, mount
from asgi_llmgate.asgi.pacing import Paced
from asgi_llmgate.asgi.paths import local_path
from asgi_llmgate.asgi.responses import outcome_of, refuse, refuse_other, respond
from asgi_llmgate.asgi.upload_limits import Uploads
from asgi_llmgate.concurrency.closing import Close, close_all

__all__ = [
    "PROTECTED_RESOURCE",
    "Body",
    "ClientConnection",
    "Close",
    "Draining",
    "Front",
    "Health",
    "Hooks",
    "Mountable",
    "Mounted",
    "Paced",
    "Uploads",
    "close_all",
    "drain",
    "local_path",
    "mount",
    "outcome_of",
    "refuse",
    "refuse_other",
    "respond",
    "run_lifespan",
]

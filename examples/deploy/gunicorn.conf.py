"""gunicorn reads this file from its working directory: `gunicorn app:app`"""

bind = "127.0.0.1:8000"
workers = 2
worker_class = "asgi_llmgate.workers.UvicornWorker"

# Seconds that open calls may continue after SIGTERM.  The worker ends the remaining ones 3 seconds before gunicorn
# kills it; `server.drain` in llmgate.yaml ends them earlier.
graceful_timeout = 120

# Longer than the proxy keeps idle connections, or the proxy would send a request on a connection that is being closed.
keepalive = 75

# The proxy's address: its X-Forwarded-For is trusted.  `request.clientIp` in rules comes from this header.
forwarded_allow_ips = "127.0.0.1"

# gunicornc is not used here, and a container's file system is read-only.
control_socket_disable = True

# No `max_requests`: replacing a worker after that many requests would end its open streams.

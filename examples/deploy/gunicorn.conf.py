"""gunicorn reads this file from its working directory: `gunicorn app:app`"""

bind = "127.0.0.1:8000"
workers = 2
worker_class = "asgi_llmgate.workers.UvicornWorker"

# How long an answer may still go on after SIGTERM.  The worker ends what is left 3 seconds before gunicorn kills it,
# and `server.drain` in llmgate.yaml still earlier.
graceful_timeout = 120

# Longer than the proxy keeps an idle connection, or it sends a request into one that is just being closed.
keepalive = 75

# Whose X-Forwarded-For is believed: the proxy's address.  `request.clientIp` in rules is what comes of it.
forwarded_allow_ips = "127.0.0.1"

# gunicornc is not used here, and a container's file system cannot be written.
control_socket_disable = True

# No `max_requests`: a worker that has served so many is replaced, which ends the streams that are open in it.

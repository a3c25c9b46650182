"""A gateway written for speed alone: what CPython can do for the same work, as a mark to compare with.

It verifies a token once and keeps its claims, decides by them once, translates Messages to chat completions and back
with msgspec and bytes, and writes a line of JSON for each call to a file.  It has no TLS, no limits, no timeouts, no
retries, one model server that never fails, and it believes what it reads.  Nothing here is a model of robustness.

    app          the calls: verify, decide, forward, write the line
    connections  an HTTP/1.1 client over asyncio and httptools
    documents    a request and its response, each as one document
    events       a response as server-sent events
"""

"""The gateway's own HTTP/1.1 client transport (RFC 9112), over asyncio and httptools.

    parser       bytes of a response -> status, headers, body; no I/O
    connection   one connection: writes a request, waits for its response, limits what is kept in memory
    connecting   opens connections: name resolution, TCP, TLS, proxies
    pool         which connection a request gets, and how many there are
    transport    the requests of one event loop

Imports run upwards in this list.  What it does not do is in docs/explanation/transport.md.
"""

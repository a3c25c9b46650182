"""Requests through an httpx transport: aiohttp's, a user's own, or `httpx.MockTransport`.

    shared_transport  a connection pool of aiohttp, as an httpx transport
    errors            the exceptions of httpx and aiohttp -> this package's errors
    adapter           any httpx transport -> net/transport.py

httpx and aiohttp, 160 modules, are imported by this folder alone.
"""

"""The ceiling of the HTTP server: that of `slatewise serve`, set up the same, answers fixed bytes to everything.

python benchmarks/bare_server.py PORT BODY_BYTES
"""

import sys

import uvicorn


def fixed(size):
    """Return an application that answers *size* bytes."""
    body = b"[" + b"1" * (size - 2) + b"]"
    headers = [(b"content-length", b"%d" % size), (b"content-type", b"application/json")]

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


if __name__ == "__main__":
    port, size = map(int, sys.argv[1:])
    uvicorn.run(
        fixed(size), port=port, http="httptools", ws="none", lifespan="off", log_level="warning", access_log=False,
        server_header=False, proxy_headers=False,
    )  # fmt: skip

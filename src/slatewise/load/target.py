"""Where requests go, and their bytes. HTTP/1.1 by hand: a client library costs more per request than the sending."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from slatewise.domain.errors import InputError

EXPECTED = "an address such as http://127.0.0.1:8080"


@dataclass(frozen=True, slots=True)
class Target:
    """A server's address. ``headers`` are those of every request, ready to send."""

    host: str
    port: int
    is_tls: bool
    path: str
    headers: bytes

    def head(self, method: str, path: str) -> bytes:
        """Return a request up to the value of its last header, content-length."""
        return f"{method} {self.path}{path} HTTP/1.1\r\n".encode("ascii") + self.headers + b"content-length: "


def target(url: str, api_key: str | None = None) -> Target:
    """Return what *url* names. Raises InputError for what is no address of a server."""
    try:
        parts = urlsplit(url)
        port = parts.port
        netloc = parts.netloc.encode("ascii")
        path = parts.path.rstrip("/").encode("ascii").decode()
    except ValueError:
        raise InputError("url", url, EXPECTED) from None
    is_fit = parts.scheme in ("http", "https") and parts.hostname and not parts.username
    if not is_fit or parts.query or parts.fragment or not url.isprintable() or " " in url:
        raise InputError("url", url, EXPECTED)
    is_tls = parts.scheme == "https"
    headers = b"host: " + netloc + b"\r\ncontent-type: application/json\r\n"
    if api_key is not None:
        headers += b"authorization: Bearer " + api_key.encode("ascii") + b"\r\n"
    return Target(str(parts.hostname), port or (443 if is_tls else 80), is_tls, path, headers)


def request(head: bytes, body: bytes) -> bytes:
    """Return the bytes of a request that `Target.head` begins."""
    return b"%b%d\r\n\r\n%b" % (head, len(body), body)

"""Forwards a request to another region and relays its answer."""

from __future__ import annotations

import socket
from urllib.parse import quote, urlsplit

from regions.local.http.context import Context
from regions.local.http.messages import Failure, Relay, Request

_CONNECT_S = 3.0


def job_region(request: Request) -> str:
    """Returns the region that the body names. The job's own counts only where neither body nor query names one."""
    body = request.json()
    if isinstance(body.get("Region"), str) and body["Region"]:
        return str(body["Region"])
    job = body.get("Job")
    region = job.get("Region") if isinstance(job, dict) and not request.get("region") else None
    return region if isinstance(region, str) and region != "global" else ""


_HOP_BY_HOP = ("connection", "content-length", "expect", "host", "keep-alive", "transfer-encoding")


def forward(context: Context, request: Request, region: str) -> Relay:
    """Sends the request to that region and relays the answer as it comes. Raises Failure."""
    url = context.config.peers.get(region)
    if url is None:
        raise Failure(500, "No path to region")
    address = urlsplit(url)
    target = request.raw
    if request.get("region") != region:
        # Only the first value of a parameter counts.
        path, _, query = target.partition("?")
        target = f"{path}?region={quote(region)}" + (f"&{query}" if query else "")
    try:
        connection = socket.create_connection((address.hostname, address.port), timeout=_CONNECT_S)
        connection.settimeout(None)
        if address.scheme == "https":
            import ssl

            authority = ssl.create_default_context(cafile=context.config.tls.get("ca_file"))
            connection = authority.wrap_socket(connection, server_hostname=address.hostname)
        headers = {name: value for name, value in request.headers.items() if name not in _HOP_BY_HOP}
        headers |= {"connection": "close", "content-length": str(len(request.body)), "host": address.netloc}
        lines = [f"{request.method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + request.body)
    except OSError as error:
        why = f"dial tcp {address.netloc}: {error.strerror or error}"
        raise Failure(500, f"rpc error: failed to get conn: {why}") from error
    return Relay(connection)

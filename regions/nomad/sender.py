"""Send requests through python-nomad's endpoint classes.

All requests go through their `.request(…)`, with every setting given, because `nomad.Nomad(…)` lets NOMAD_ADDR,
NOMAD_TOKEN, NOMAD_REGION and NOMAD_NAMESPACE of the shell override the region that was asked for, and its public methods
drop headers, leave IDs unquoted and put the idempotency token where Nomad doesn't look. docs/reference/nomad-facts.md
lists each trap.
"""

from __future__ import annotations

import nomad.api.exceptions  # noqa: TID253 - this module is loaded only when a region is really called
import requests

from regions.model import Region, TLSFiles
from regions.nomad.request import Request, Send


def sender(region: Region) -> Send:
    """A function that sends requests to that region and ignores the shell's variables."""
    tls = region.tls
    settings = {
        "namespace": region.namespace,
        "region": region.nomad_region,
        "verify": str(tls.ca_cert) if tls.verify and tls.ca_cert else tls.verify,
        "cert": _certificate(tls),
    }
    # On every endpoint: python-nomad leaves the namespace out for some (evaluations, the event stream).
    everywhere = {"namespace": region.namespace, "region": region.nomad_region}

    def send(
        request: Request, *, address: str, token: str, session: requests.Session, timeout: tuple[float, float]
    ) -> requests.Response:
        endpoint = request.endpoint(address=address.rstrip("/"), token=token, session=session, **settings)
        try:
            response: requests.Response = endpoint.request(
                *request.path,
                method=request.method,
                params={**everywhere, **(request.params or {})},
                json=request.json,
                headers={"Accept-Encoding": "identity" if request.is_stream else "gzip"},
                timeout=timeout,
                stream=request.is_stream,
            )
        except nomad.api.exceptions.BaseNomadException as error:
            if isinstance(error.nomad_resp, requests.Response):
                return error.nomad_resp
            raise error.nomad_resp from None
        except nomad.api.exceptions.TimeoutNomadException as error:
            # For a stream python-nomad raises this in place of a ConnectionError; it isn't a BaseNomadException.
            raise error.args[0] from None
        return response

    return send


def _certificate(tls: TLSFiles) -> str | tuple[str, str] | None:
    """The client's certificate as requests takes it. Without a key of its own, the certificate's file holds it."""
    if tls.client_cert is None:
        return None
    return (str(tls.client_cert), str(tls.client_key)) if tls.client_key else str(tls.client_cert)

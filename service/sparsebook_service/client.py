"""Clients of the service, for Python and for the command line.

In a script:

    with Client("http://127.0.0.1:8080") as client:
        job = client.wait(client.compress(Path("model.onnx")).id)
        client.download(job, Path("model-sparsebook"))

`AsyncClient` has the same methods as coroutines. Both try again by themselves what may pass: a connection that breaks, a service that
is not ready (502, 503, 504), one that asks to wait (429). An upload that is sent again makes no second job, a download goes on where it
broke off, and of a job that is followed nothing is missed.
"""

from sparsebook_service.talking.awaiting import AsyncClient
from sparsebook_service.talking.blocking import Client
from sparsebook_service.talking.faults import ServiceProblem, Unreachable
from sparsebook_service.talking.following import Event
from sparsebook_service.talking.opening import PATIENCE_SECONDS

__all__ = [
    "PATIENCE_SECONDS",
    "AsyncClient",
    "Client",
    "Event",
    "ServiceProblem",
    "Unreachable",
]

"""What stands before the routes: who asks, and may he?"""

from typing import Annotated, Any

import structlog
from fastapi import Depends, Request, Security
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from sparsebook_service.access import exposure
from sparsebook_service.access.caller import ANYBODY, Caller, Scope
from sparsebook_service.errors import Forbidden, RateLimited, Unauthorized
from sparsebook_service.services import ServicesDep

log = structlog.get_logger(__name__)

_BEARER = HTTPBearer(
    auto_error=False,
    scheme_name="ApiKey",
    description="An API key, from `sparsebook keys create`. Asked for where the service serves with --access keys.",
)
Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)]


def may(scope: Scope) -> Any:
    """A dependency that gives the caller, and refuses one who may not do what the scope is for."""

    async def caller(
        request: Request, services: ServicesDep, credentials: Credentials = None
    ) -> Caller:
        access = services.settings.access
        try:
            if access == "keys":
                token = None if credentials is None else credentials.credentials
                return await run_in_threadpool(services.doorkeeper.admit, token, scope)
            if access == "loopback":
                host, origin = request.headers.get("host"), request.headers.get("origin")
                exposure.check_local(host, origin, services.settings.host)
        except (Unauthorized, Forbidden, RateLimited) as refused:
            client = request.client.host if request.client else None
            log.info(
                "request refused",
                problem=refused.problem,
                path=request.url.path,
                client=client,
                detail=str(refused),
            )
            raise
        return ANYBODY

    return Depends(caller)


Submitter = Annotated[Caller, may("submit")]
Reader = Annotated[Caller, may("read")]

"""The HTTP application."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from sparsebook_service import contract, errors, system
from sparsebook_service.heads import HeadOfGet
from sparsebook_service.jobs import endpoints, events, reports
from sparsebook_service.middleware import SaidOnce, SecurityHeaders
from sparsebook_service.page import endpoints as page
from sparsebook_service.page import reference
from sparsebook_service.resumable import endpoints as resumable
from sparsebook_service.services import Services
from sparsebook_service.settings import Settings
from sparsebook_service.version import VERSION
from sparsebook_service.webhooks import endpoints as webhooks


def create_app(settings: Settings) -> FastAPI:
    """Make the application; its parts are opened when it starts and closed when it stops."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        services = await asyncio.to_thread(Services.open, settings, loop)
        app.state.services = services
        try:
            yield
        finally:
            await asyncio.to_thread(services.close)

    app = contract.DocumentedApp(
        title="Sparsebook",
        version=VERSION,
        summary="Deep compression for ONNX models",
        description=contract.DESCRIPTION,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        lifespan=lifespan,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    app.include_router(endpoints.router)
    app.include_router(events.router)
    app.include_router(reports.router)
    app.include_router(webhooks.router)
    app.include_router(resumable.router)
    app.include_router(system.router)
    app.include_router(page.router)
    app.include_router(reference.router)
    app.add_middleware(HeadOfGet)
    app.add_middleware(SaidOnce)
    app.add_middleware(SecurityHeaders)
    errors.install(
        app,
        [
            *endpoints.router.routes,
            *events.router.routes,
            *reports.router.routes,
            *webhooks.router.routes,
            *resumable.router.routes,
            *system.router.routes,
            *page.router.routes,
            *reference.router.routes,
        ],
    )
    return app

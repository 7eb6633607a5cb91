"""Compresses several models on a service at the same time, each into a folder of its own.

python compress_many.py http://127.0.0.1:8080 first.onnx second.onnx …
"""

import asyncio
import os
import sys
from pathlib import Path

from sparsebook_service.client import AsyncClient


async def main(url: str, *models: str) -> None:
    """Send all models and download all bundles, as their jobs end."""
    key = os.environ.get("SPARSEBOOK_API_KEY")
    async with AsyncClient(url, api_key=key) as client, asyncio.TaskGroup() as group:
        for model in models:
            group.create_task(compress(client, Path(model)))


async def compress(client: AsyncClient, model: Path) -> None:
    """Compress one model into MODEL-sparsebook."""
    job = await client.compress(model)
    job = await client.wait(job.id)
    folder = model.with_name(f"{model.stem}-sparsebook")
    await client.download(job, folder)
    assert job.result is not None
    print(f"{folder}: {job.result.ratio:.1f} times smaller")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

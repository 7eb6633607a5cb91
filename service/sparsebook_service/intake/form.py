"""The parts of a form become the files of a job."""

import hashlib

from sparsebook_compressor.config import Config
from sparsebook_compressor.errors import BadValue, TooLarge
from sparsebook_service.intake import multipart
from sparsebook_service.intake.parts import Part, Upload
from sparsebook_service.jobs import keys
from sparsebook_service.names import Tree, model_name, plain_name
from sparsebook_service.settings import Settings
from sparsebook_service.storage import Storage

MAX_CONFIG_BYTES = 1 << 20
MAX_EXTERNAL_FILES = 10_000
PARTS = ("model", "data", "config", "loss", "metric", "base", "external")


class Form:
    """The parts of a form, as they arrive."""

    def __init__(
        self,
        storage: Storage,
        settings: Settings,
        job_id: str,
        name: str | None,
        config: Config | None,
        before: Part | None,
    ) -> None:
        self.config = config
        self._storage = storage
        self._settings = settings
        self._job_id = job_id
        self._name = name
        self._tree = Tree()
        self._model = before
        self._graphs: dict[str, Part] = {}
        self._data: list[Part] = []
        self._external: list[Part] = []
        self._model_room = settings.max_upload_bytes
        if before is not None:
            self._tree.add(before.name)
            self._model_room -= before.bytes
        self._data_room = settings.max_data_bytes

    async def take(self, part: multipart.FormPart) -> None:
        """Store a part, or understand it.

        Raises:
            InputError: it is refused.
            StorageFull: there is no room.
        """
        match part.name:
            case "config":
                if self.config is not None:
                    raise BadValue("config is given twice: send it once, as a part or as ?config=")
                self.config = Config.parse_json(await part.read(MAX_CONFIG_BYTES))
            case "model":
                if self._model is not None:
                    raise BadValue("the part 'model' is given twice: one job compresses one model")
                self._model = await self._take_model(part)
            case "data":
                await self._take_data(part)
            case "loss" | "metric" | "base":
                await self._take_graph(part)
            case "external":
                if len(self._external) == MAX_EXTERNAL_FILES:
                    raise TooLarge(f"more than {MAX_EXTERNAL_FILES} files of external data")
                self._external.append(await self._beside_model(part, part.filename or ""))
            case _:
                raise BadValue(f"unknown part {part.name[:80]!r}: the parts are {', '.join(PARTS)}")

    def upload(self) -> Upload:
        """All that was stored.

        Raises:
            BadValue: the model is missing.
        """
        if self._model is None:
            raise BadValue("the part 'model' is missing: send the .onnx file under this name")
        return Upload(
            model=self._model,
            data=self._data,
            loss=self._graphs.get("loss"),
            metric=self._graphs.get("metric"),
            external=self._external,
            base=self._graphs.get("base"),
        )

    async def _take_model(self, part: multipart.FormPart) -> Part:
        return await self._beside_model(
            part, model_name(self._name or part.filename or "model.onnx")
        )

    async def _beside_model(self, part: multipart.FormPart, name: str) -> Part:
        self._tree.add(name)
        most = self._settings.max_upload_bytes
        refusal = f"the model and its external data are larger than {most} bytes"
        stored = await self._store(
            part, name, keys.model(self._job_id, name), self._model_room, refusal
        )
        self._model_room -= stored.bytes
        return stored

    async def _take_data(self, part: multipart.FormPart) -> None:
        number, most = len(self._data), self._settings.max_data_files
        if number == most:
            raise TooLarge(f"more than {most} parts 'data': put more samples into each")
        refusal = f"the parts 'data' are larger than {self._settings.max_data_bytes} bytes"
        name = plain_name(part.filename, "data.npz")
        key = keys.data(self._job_id, number, name)
        stored = await self._store(part, name, key, self._data_room, refusal)
        self._data_room -= stored.bytes
        self._data.append(stored)

    async def _take_graph(self, part: multipart.FormPart) -> None:
        if part.name in self._graphs:
            raise BadValue(f"the part {part.name!r} is given twice")
        settings = self._settings
        most = settings.max_upload_bytes if part.name == "base" else settings.max_graph_bytes
        refusal = f"the part {part.name!r} is larger than {most} bytes"
        name = plain_name(part.filename, f"{part.name}.onnx")
        key = keys.graph(self._job_id, part.name, name)
        self._graphs[part.name] = await self._store(part, name, key, most, refusal)

    async def _store(
        self, part: multipart.FormPart, name: str, key: str, room: int, refusal: str
    ) -> Part:
        digest = hashlib.sha256()
        size = 0
        async with self._storage.writer(key) as writer:
            async for chunk in part.chunks():
                size += len(chunk)
                if size > room:
                    raise TooLarge(refusal)
                digest.update(chunk)
                await writer.write(chunk)
        return Part(name=name, key=key, bytes=size, sha256=digest.hexdigest())

"""What is not about jobs alone in the answers of the service."""

from typing import Literal

from pydantic import BaseModel, Field


class Problem(BaseModel):
    """An error, as RFC 9457 has it."""

    type: str = Field(
        description="Address of the problem's description; its last part never changes",
        examples=["/problems/not-onnx"],
    )
    title: str = Field(examples=["Not an ONNX file"])
    status: int = Field(examples=[422])
    detail: str = Field(
        description="What is wrong here, and where",
        examples=["model.onnx: the file is empty"],
    )
    instance: str | None = Field(
        default=None,
        description="The address where it happened",
        examples=["/jobs/5f0c2e63d6a94d0f8a55c2ad6a7a5c50"],
    )


class Health(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"
    version: str = Field(examples=["0.1.0"])


class Ready(BaseModel):
    """New jobs are accepted."""

    status: Literal["ready"] = "ready"


class OperatorLibrary(BaseModel):
    """An operator library that can be downloaded."""

    platform: str = Field(examples=["linux-x86_64"])
    name: str = Field(examples=["libsparsebook.so"])
    bytes: int = Field(examples=[1248712])
    sha256: str = Field(
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]
    )
    tested: bool = Field(
        description="Whether its tests run on the platform, or under emulation of it",
        examples=[True],
    )
    remark: str = Field(
        description="How it is tested, or why not", examples=["tested on the platform itself"]
    )
    href: str = Field(examples=["/runtime/linux-x86_64"])


class OperatorLibraries(BaseModel):
    """All operator libraries there are."""

    libraries: list[OperatorLibrary]

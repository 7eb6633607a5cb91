"""The operator libraries that are handed out: this machine's own, and those of a folder that `make platforms` has filled."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sparsebook_runtime import library_path, platform_tag
from sparsebook_service.errors import NotFound


@dataclass(frozen=True, slots=True)
class Platform:
    """A platform that the operator library is built for.

    Attributes:
        library: the name of its file there.
        tested: whether the library's tests run on it, or under emulation of it.
        remark: how it is tested, or why not; for people.
    """

    library: str
    tested: bool
    remark: str


PLATFORMS: Mapping[str, Platform] = {
    "linux-x86_64": Platform("libsparsebook.so", True, "tested on the platform itself"),
    "linux-aarch64": Platform("libsparsebook.so", True, "tested under emulation (qemu-user)"),
    "macos-arm64": Platform("libsparsebook.dylib", False, "untested: built elsewhere, never run"),
    "windows-x86_64": Platform(
        "sparsebook.dll", False, "untested on Windows: its tests run under Wine alone"
    ),
}
# Of a machine of another kind, whose library was compiled there when the package was installed.
HERE_ALONE = Platform("", False, "untested: built where the service runs")


@dataclass(frozen=True, slots=True)
class Libraries:
    """Operator libraries by platform.

    Attributes:
        own: the one that runs here.
        platform: this machine's platform.
        others: those of other platforms.
    """

    own: Path
    platform: str
    others: Mapping[str, Path]

    @classmethod
    def find(cls, folder: Path | None) -> "Libraries":
        """Look in the installed package and, where there is one, in a folder: `<folder>/<platform>/<file>`.

        The folder wins: what is built for all platforms asks for an older system than what was built on this machine.

        Raises:
            FileNotFoundError: there is no library for this platform.
        """
        found = {}
        if folder is not None:
            paths = {name: folder / name / known.library for name, known in PLATFORMS.items()}
            found = {name: path for name, path in paths.items() if path.is_file()}
        platform = platform_tag()
        own = found.pop(platform, None) or library_path()
        return cls(own, platform, found)

    def of(self, platform: str) -> Path:
        """The library of a platform.

        Raises:
            NotFound: there is none.
        """
        all_ = self.by_platform()
        if platform not in all_:
            built = "; `make platforms` builds it, and SPARSEBOOK_RUNTIMES says where it is"
            raise NotFound(
                f"no operator library for {platform[:80]!r}; there are libraries for {', '.join(all_)}"
                + (built if platform in PLATFORMS else "")
            )
        return all_[platform]

    def by_platform(self) -> dict[str, Path]:
        """All of them, this machine's own first."""
        return {self.platform: self.own, **self.others}

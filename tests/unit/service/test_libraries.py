from pathlib import Path

import pytest

from sparsebook_runtime import library_path, platform_tag
from sparsebook_service.errors import NotFound
from sparsebook_service.libraries import PLATFORMS, Libraries

OTHER = next(name for name in PLATFORMS if name != platform_tag())


def put(folder: Path, platform: str, name: str) -> Path:
    path = folder / platform / name
    path.parent.mkdir(parents=True)
    path.write_bytes(platform.encode())
    return path


@pytest.mark.parametrize("folder", [True, False])
def test_by_itself_there_is_this_machines_own(tmp_path: Path, folder: bool) -> None:
    found = Libraries.find(tmp_path if folder else None)
    assert found.by_platform() == {platform_tag(): library_path()}


def test_own_library_has_its_platforms_name() -> None:
    known = PLATFORMS[platform_tag()]
    assert library_path().name == known.library
    assert known.tested


def test_a_folder_wins_and_brings_more(tmp_path: Path) -> None:
    own = put(tmp_path, platform_tag(), library_path().name)
    other = put(tmp_path, OTHER, PLATFORMS[OTHER].library)
    put(tmp_path, "amiga", "libsparsebook.so")
    put(tmp_path, "windows-x86_64" if OTHER != "windows-x86_64" else "macos-arm64", "readme.txt")
    found = Libraries.find(tmp_path)
    assert (found.own, found.platform, found.others) == (own, platform_tag(), {OTHER: other})
    assert list(found.by_platform()) == [platform_tag(), OTHER]


def test_a_platform_is_refused_by_name() -> None:
    found = Libraries.find(None)
    with pytest.raises(NotFound, match=r"'amiga'; there are libraries for [a-z0-9_-]+$"):
        found.of("amiga")
    with pytest.raises(NotFound, match="SPARSEBOOK_RUNTIMES"):
        found.of(OTHER)
    assert found.of(platform_tag()) == library_path()

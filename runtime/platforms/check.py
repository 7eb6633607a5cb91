"""Look into an operator library that was built for another platform: what it is, what it shows and what it asks for.

    python runtime/platforms/check.py linux-aarch64 build/platforms/linux-aarch64/libsparsebook.so

`make platforms` does so with everything that it builds. A fault ends it with status 1 and a line for each.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import lief

EXPORTS = Path(__file__).parents[1] / "op/exports.map"
DOORS = set(
    re.findall(r"(\w+);", EXPORTS.read_text().partition("global:")[2].partition("local:")[0])
)
OLDEST_GLIBC = (2, 17)
OLDEST_MACOS = (11, 0)

ELF_MACHINES = {
    "linux-x86_64": lief.ELF.ARCH.X86_64,
    "linux-aarch64": lief.ELF.ARCH.AARCH64,
}
# All of them are glibc's own.
ELF_LIBRARIES = r"(lib(c|m|dl|pthread)\.so\.\d|ld-linux-(x86-64\.so\.2|aarch64\.so\.1))"
# What Zig's linker shows of every library, whatever it is told: two marks of its own and C++'s replaceable operators new and
# delete, which macOS makes one with those of the process.
MACHO_OWN = r"__mh_dylib_header|___dso_handle|__Zn[aw]m(St11align_val_t)?(RKSt9nothrow_t)?|__Zd[al]Pvm?(St11align_val_t)?(RKSt9nothrow_t)?"
# The system's loader and kernel, and the C library that every Windows since 10 brings.
PE_LIBRARIES = r"(?i)(kernel32|ntdll|ucrtbase|api-ms-win-crt-[a-z]+-l1-1-0)\.dll"


def faults(platform: str, path: Path) -> Iterator[str]:
    """What is wrong with the library of a platform."""
    lief.logging.disable()  # it remarks on what a linker leaves out
    library = lief.parse(path)
    if isinstance(library, lief.ELF.Binary) and platform in ELF_MACHINES:
        yield from _elf_faults(library, ELF_MACHINES[platform])
    elif isinstance(library, lief.MachO.Binary) and platform == "macos-arm64":
        yield from _macho_faults(library)
    elif isinstance(library, lief.PE.Binary) and platform == "windows-x86_64":
        yield from _pe_faults(library)
    else:
        yield f"is no library for {platform}"


def _elf_faults(library: lief.ELF.Binary, machine: lief.ELF.ARCH) -> Iterator[str]:
    if library.header.machine_type != machine:
        yield f"is for {library.header.machine_type}"
    yield from _wrong_doors({str(symbol.name) for symbol in library.exported_symbols})
    yield from _wrong_libraries(library.libraries, ELF_LIBRARIES)
    for requirement in library.symbols_version_requirement:
        for version in requirement.get_auxiliary_symbols():
            number = re.fullmatch(r"GLIBC_(\d+)\.(\d+)(\.\d+)?", str(version.name))
            if number is None or (int(number[1]), int(number[2])) > OLDEST_GLIBC:
                yield f"asks {requirement.name} for {version.name}"
    # What ONNX Runtime unloads with its last session would leave threads' destructors behind (CMakeLists.txt).
    flags = library.get(lief.ELF.DynamicEntry.TAG.FLAGS_1)
    if not isinstance(flags, lief.ELF.DynamicEntryFlags) or not flags.has(
        lief.ELF.DynamicEntryFlags.FLAG.NODELETE
    ):
        yield "can be unloaded"


def _macho_faults(library: lief.MachO.Binary) -> Iterator[str]:
    if library.header.cpu_type != lief.MachO.Header.CPU_TYPE.ARM64:
        yield f"is for {library.header.cpu_type}"
    shown = {str(symbol.name) for symbol in library.exported_symbols}
    yield from _wrong_doors({name[1:] for name in shown if not re.fullmatch(MACHO_OWN, name)})
    yield from _wrong_libraries(
        [
            str(needed.name)
            for needed in library.libraries
            if needed.command != lief.MachO.LoadCommand.TYPE.ID_DYLIB
        ],
        r"/usr/lib/libSystem\.B\.dylib",
    )
    oldest = library.build_version.minos if library.build_version is not None else None
    if oldest is None or tuple(oldest[:2]) > OLDEST_MACOS:
        yield f"wants macOS {oldest}"
    if library.code_signature is None:
        yield "has no signature, without which Apple's ARM machines load nothing"


def _pe_faults(library: lief.PE.Binary) -> Iterator[str]:
    if library.header.machine != lief.PE.Header.MACHINE_TYPES.AMD64:
        yield f"is for {library.header.machine}"
    export = library.get_export()
    names = set() if export is None else {str(entry.name) for entry in export.entries}
    yield from _wrong_doors(names)
    yield from _wrong_libraries([str(needed.name) for needed in library.imports], PE_LIBRARIES)


def _wrong_doors(shown: set[str]) -> Iterator[str]:
    if shown != DOORS:
        few = ", ".join(sorted(shown ^ DOORS)[:5])
        yield f"shows {len(shown)} symbols; too many or missing: {few}"


def _wrong_libraries(needed: list[str], allowed: str) -> Iterator[str]:
    yield from (f"needs {name}" for name in needed if re.fullmatch(allowed, name) is None)


def main() -> int:
    """Check the library that the command line names."""
    platform, path = sys.argv[1], Path(sys.argv[2])
    found = list(faults(platform, path))
    for fault in found:
        print(f"{path}: {fault}", file=sys.stderr)  # noqa: T201 - a program of `make`
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

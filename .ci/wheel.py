"""What may be in the wheel: Python modules and their data, and nothing that runs before somebody imports it.

    python .ci/wheel.py dist/asgi_llmgate-0.1.0-py3-none-any.whl     status 1 with every fault

LiteLLM 1.82.8 was stolen by one file more in the wheel, `litellm_init.pth`: Python runs the lines of such a file that
begin with `import` at each start.  See docs/explanation/supply-chain.md.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import re
import sys
import zipfile
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath

TOP_LEVEL = {"asgi_llmgate", "llmgate_django", "llmgate_quart", "llmgate_starlette"}
"""Packages that we install.  Another name could hide a package of somebody else, such as `sitecustomize`."""

SUFFIXES = {".py", ".html", ".css", ".json", ".md", ".yaml", ".txt"}
"""Of files in the packages; besides, `py.typed`.  No `.pth` (runs at each start), no `.so` (nobody can read it)."""

METADATA = {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}
"""Files of the `.dist-info` folder."""

ENTRY_POINTS = {"[console_scripts]", "[pytest11]"}
"""Groups of entry points.  Those of other groups are imported by programs that only happen to be installed beside."""


def faults(path: Path) -> Iterator[str]:
    """What is wrong with a wheel, one sentence each."""
    name, version = path.name.split("-")[:2]
    information = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path) as wheel:
        files = {entry.filename: entry for entry in wheel.infolist()}
        for file in files:
            yield from _name_faults(file, information)
        if len(files) != len(wheel.infolist()):
            yield "a file name occurs twice"
        for needed in ("METADATA", "WHEEL", "RECORD", "entry_points.txt"):
            if f"{information}/{needed}" not in files:
                yield f"{information}/{needed} is missing"
                return
        yield from _record_faults(wheel, f"{information}/RECORD")
        yield from _metadata_faults(wheel.read(f"{information}/METADATA").decode(), name, version)
        for group in re.findall(r"^\[.*\]$", wheel.read(f"{information}/entry_points.txt").decode(), re.MULTILINE):
            if group not in ENTRY_POINTS:
                yield f"entry_points.txt has the group {group}"


def _name_faults(file: str, information: str) -> Iterator[str]:
    path = PurePosixPath(file)
    top = path.parts[0]
    if path.is_absolute() or ".." in path.parts or "\\" in file:
        yield f"{file} lies outside of the wheel"
    elif top == information:
        if str(path.relative_to(information)) not in METADATA:
            yield f"{file} is no file that we put into {information}"
    elif top not in TOP_LEVEL:
        yield f"{file} is not in one of our packages ({', '.join(sorted(TOP_LEVEL))})"
    elif path.suffix not in SUFFIXES and path.name != "py.typed":
        yield f"{file}: no file of this kind belongs into the wheel"


def _record_faults(wheel: zipfile.ZipFile, record: str) -> Iterator[str]:
    """RECORD lists each file with its digest; pip and auditors compare an installation with it."""
    listed = {row[0]: row[1:] for row in csv.reader(io.StringIO(wheel.read(record).decode())) if row}
    names = set(wheel.namelist())
    yield from (f"RECORD does not list {file}" for file in sorted(names - set(listed)))
    yield from (f"RECORD lists {file}, which is not there" for file in sorted(set(listed) - names))
    for file in sorted(names & set(listed) - {record}):
        content = wheel.read(file)
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        if listed[file] != [f"sha256={digest}", str(len(content))]:
            yield f"RECORD has another digest or size for {file}"


def _metadata_faults(text: str, name: str, version: str) -> Iterator[str]:
    metadata = HeaderParser().parsestr(text)
    if (metadata["Name"].replace("-", "_"), metadata["Version"]) != (name, version):
        yield f"METADATA is of {metadata['Name']} {metadata['Version']}"
    for requirement in metadata.get_all("Requires-Dist") or ():
        if "@" in requirement:
            yield f"{requirement}: a dependency is named by its address, which no index has checked"


def main(arguments: list[str]) -> str | int:
    if not arguments:
        return str(__doc__)
    found = [f"{argument}: {fault}" for argument in arguments for fault in faults(Path(argument))]
    return "\n".join(found) or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

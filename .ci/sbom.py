"""The software bill of materials of a wheel, in CycloneDX JSON.

    python .ci/sbom.py dist/asgi_llmgate-0.1.0-py3-none-any.whl asgi-llmgate.cdx.json

It lists what an installation with all extras contains, in the versions of constraints.txt: whoever compares it with a
list of known vulnerabilities finds those of each extra.  An installation with fewer extras contains a part of the list.

cyclonedx-py reads the list from an environment that has the wheel alone.  It has an environment of its own, because
what is installed beside it would be listed too.  SBOM_TOOLS is another folder for that.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path

ROOT = Path(__file__).parents[1]
SPEC = "1.6"
"""Of CycloneDX: what scanners of today read."""

PIP = ("-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--no-compile", "--only-binary", ":all:")


def read_metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return HeaderParser().parsestr(archive.read(name).decode())


def generator() -> Path:
    """The folder with the programs of cyclonedx-bom; installed unless it is there."""
    folder = Path(os.environ.get("SBOM_TOOLS", ROOT / ".cache" / "envs" / "sbom-tools")) / "bin"
    if not (folder / "cyclonedx-py").exists():
        run(sys.executable, "-m", "venv", folder.parent)
        run(folder / "python", *PIP, "--constraint", ROOT / "constraints.txt", "cyclonedx-bom")
    return folder


_VALIDATE = f"""
import sys
from jsonschema import Draft7Validator
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

del Draft7Validator.FORMAT_CHECKER.checkers["iri-reference"]  # takes nine seconds of ten, and knows no mistake of ours
error = JsonStrictValidator(SchemaVersion.from_version({SPEC!r})).validate_str(sys.stdin.read())
sys.exit(error and f"this is no CycloneDX: {{error.data.message}}")
"""


def run(*command: str | Path, text: str | None = None) -> None:
    subprocess.run([str(word) for word in command], check=True, input=text, text=True)  # noqa: S603 our own programs


def make_sbom(wheel: Path, output: Path) -> None:
    tools, metadata = generator(), read_metadata(wheel)
    extras = ",".join(metadata.get_all("Provides-Extra") or ())
    with tempfile.TemporaryDirectory() as scratch:
        environment, listed = Path(scratch, "env"), Path(scratch, "listed.json")
        run(sys.executable, "-m", "venv", "--without-pip", environment)
        pip = [str(word) for word in (tools / "python", *PIP)]
        pip[3:3] = ["--python", str(environment / "bin" / "python")]
        run(*pip, "--constraint", ROOT / "constraints.txt", f"{wheel.absolute()}[{extras}]")
        # Reproducible: without a time and a serial number, so that anybody can make the same file again.
        options = ("--spec-version", SPEC, "--output-format", "JSON", "--output-reproducible", "--no-validate")
        subject = ("--pyproject", str(ROOT / "pyproject.toml"), "--mc-type", "library")
        run(
            tools / "cyclonedx-py",
            "environment",
            *subject,
            *options,
            "--output-file",
            listed,
            environment / "bin/python",
        )
        sbom = json.loads(listed.read_text("utf-8"))
    # pyproject.toml has no version (hatchling reads it from the package), and cyclonedx-py no file to digest.
    name, version = metadata["Name"], metadata["Version"]
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    sbom["metadata"]["component"] |= {
        "version": version,
        "purl": f"pkg:pypi/{name}@{version}",
        "hashes": [{"alg": "SHA-256", "content": digest}],
    }
    text = json.dumps(sbom, indent=1, sort_keys=True) + "\n"
    run(tools / "python", "-c", _VALIDATE, text=text)
    output.write_text(text, "utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    make_sbom(Path(sys.argv[1]), Path(sys.argv[2]))

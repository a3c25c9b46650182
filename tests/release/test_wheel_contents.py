"""What may be in the wheel: the script that release.yml runs, on the wheel that is built here and on worse ones."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.helpers.distribution.wheel import built_wheel
from tests.helpers.installation import ROOT
from tests.release.tools import script

INFORMATION = "asgi_llmgate-0.1.0.dist-info"
METADATA = "Metadata-Version: 2.4\nName: asgi-llmgate\nVersion: 0.1.0\nRequires-Dist: click>=8.1\n"
GOOD = {
    "asgi_llmgate/__init__.py": "",
    "asgi_llmgate/py.typed": "",
    "llmgate_django/templates/admin/page.html": "<p>",
    f"{INFORMATION}/METADATA": METADATA,
    f"{INFORMATION}/WHEEL": "Wheel-Version: 1.0\n",
    f"{INFORMATION}/entry_points.txt": "[console_scripts]\nllmgate = asgi_llmgate.cli:main\n",
}


def make_wheel(folder: Path, files: dict[str, str], *, record: dict[str, str] | None = None) -> Path:
    """A wheel with these files; RECORD is right unless files of `record` differ."""
    path = folder / "asgi_llmgate-0.1.0-py3-none-any.whl"
    listed = io.StringIO()
    rows = csv.writer(listed, lineterminator="\n")
    for name, text in (files if record is None else record).items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        rows.writerow([name, f"sha256={digest}", len(text.encode())])
    rows.writerow([f"{INFORMATION}/RECORD", "", ""])
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in {**files, f"{INFORMATION}/RECORD": listed.getvalue()}.items():
            wheel.writestr(name, text)
    return path


WHEEL = script("wheel")


def faults(wheel: Path) -> list[str]:
    return list(WHEEL.faults(wheel))


def test_a_wheel_as_it_should_be_has_no_fault(tmp_path: Path) -> None:
    assert faults(make_wheel(tmp_path, GOOD)) == []


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("litellm_init.pth", "is not in one of our packages"),
        ("asgi_llmgate/start.pth", "no file of this kind"),
        ("sitecustomize.py", "is not in one of our packages"),
        ("usercustomize/__init__.py", "is not in one of our packages"),
        ("httpx/__init__.py", "is not in one of our packages"),
        ("asgi_llmgate-0.1.0.data/scripts/llmgate", "is not in one of our packages"),
        ("asgi_llmgate-0.1.0.data/purelib/start.pth", "is not in one of our packages"),
        ("asgi_llmgate/_fast.cpython-313-x86_64-linux-gnu.so", "no file of this kind"),
        ("asgi_llmgate/install.sh", "no file of this kind"),
        ("asgi_llmgate/page/__pycache__/app.cpython-313.pyc", "no file of this kind"),
        ("asgi_llmgate/_lab/.env", "no file of this kind"),
        ("asgi_llmgate/run", "no file of this kind"),
        (f"{INFORMATION}/direct_url.json", "is no file that we put into"),
        (f"{INFORMATION}/RECORD.jws", "is no file that we put into"),
        ("asgi_llmgate/../../start.pth", "lies outside"),
        ("/etc/start.py", "lies outside"),
    ],
)
def test_one_file_more_is_found(tmp_path: Path, name: str, told: str) -> None:
    [fault] = faults(make_wheel(tmp_path, {**GOOD, name: "import os\n"}))
    assert fault.startswith(name)
    assert told in fault


def test_a_file_that_record_does_not_list_or_lists_otherwise_is_found(tmp_path: Path) -> None:
    more = {**GOOD, "asgi_llmgate/more.py": ""}
    assert faults(make_wheel(tmp_path, more, record=GOOD)) == ["RECORD does not list asgi_llmgate/more.py"]
    assert faults(make_wheel(tmp_path, GOOD, record=more)) == ["RECORD lists asgi_llmgate/more.py, which is not there"]
    changed = {**GOOD, "asgi_llmgate/__init__.py": "import os\n"}
    assert faults(make_wheel(tmp_path, changed, record=GOOD)) == [
        "RECORD has another digest or size for asgi_llmgate/__init__.py"
    ]


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        ("METADATA", METADATA.replace("0.1.0", "0.1.1"), "METADATA is of asgi-llmgate 0.1.1"),
        ("METADATA", METADATA.replace("asgi-llmgate", "llmgate"), "METADATA is of llmgate 0.1.0"),
        (
            "METADATA",
            METADATA + "Requires-Dist: cel-python @ https://example.com/cel.zip\n",
            "cel-python @ https://example.com/cel.zip: a dependency is named by its address",
        ),
        ("entry_points.txt", "[console_scripts]\n[sphinx.builders]\na = b:c\n", "has the group [sphinx.builders]"),
    ],
)
def test_metadata_that_says_more_is_found(tmp_path: Path, file: str, text: str, told: str) -> None:
    [fault] = faults(make_wheel(tmp_path, {**GOOD, f"{INFORMATION}/{file}": text}))
    assert told in fault


def test_the_script_tells_each_fault_of_each_wheel_and_fails(tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    good, bad = make_wheel(tmp_path, GOOD), make_wheel(tmp_path / "bad", {**GOOD, "a.pth": "", "b.pth": ""})
    command = [sys.executable, ROOT / ".ci" / "wheel.py"]
    done = subprocess.run([*command, good, bad], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert [line.split()[:2] for line in done.stderr.splitlines()] == [[f"{bad}:", "a.pth"], [f"{bad}:", "b.pth"]]
    assert subprocess.run([*command, good], capture_output=True, check=False).returncode == 0
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1


@pytest.mark.suites
def test_the_wheel_that_is_built_has_no_fault() -> None:
    assert faults(built_wheel()) == []

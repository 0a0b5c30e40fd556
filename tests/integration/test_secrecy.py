"""The search of every test's output for credentials finds them."""

import subprocess
import sys
from pathlib import Path

_TESTS = """
import base64, logging

def test_it_is_printed():
    print("kept-secret")

def test_it_is_printed_in_base64():
    print(base64.b64encode(b"user:a-kept-secret-b").decode())

def test_it_is_logged():
    logging.getLogger("any").warning("kept-secret")

def test_a_process_logged_it(tmp_path):
    (tmp_path / "sidecar.log").write_text("kept-secret")

def test_it_is_in_its_file_alone(tmp_path):
    (tmp_path / "password").write_text("kept-secret")
"""


def test_credential_in_test_output_fails_test(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text((Path(__file__).parents[1] / "conftest.py").read_text())
    (tmp_path / "test_it.py").write_text(_TESTS)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "--rootdir",
        str(tmp_path),
    ]
    run = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, check=False, cwd=tmp_path)
    caught = [line for line in run.stdout.splitlines() if line.startswith("ERROR")]
    assert len(caught) == 4, run.stdout
    assert not any("alone" in line for line in caught)
    assert all("a credential was put out" in line for line in caught)

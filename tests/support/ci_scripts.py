"""The scripts in .ci, as modules."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

_FOLDER = Path(__file__).parents[2] / ".ci"


def load(name: str) -> ModuleType:
    """Import `.ci/<name>.py`, which is not in a package."""
    spec = importlib.util.spec_from_file_location(f"ci_{name}", _FOLDER / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(_FOLDER))  # they import each other
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(_FOLDER))
    return module

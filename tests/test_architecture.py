"""The tree is the architecture diagram: who may import whom, asserted from the code's own imports."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT_FOLDER = Path(__file__).resolve().parents[1]
OURS = ("bench", "capture_worker", "chaos", "servicer", "shm", "simulated_robot", "supervision", "supervisor")
LINE_TO_SUPERVISOR = {
    "supervision.camera_settings",
    "supervision.exit_codes",
    "supervision.lifeline",
    "supervision.settings",
}

ALLOWED = {
    "shm": set[str](),
    "capture_worker": {"shm", *LINE_TO_SUPERVISOR},
    "servicer": {"shm", "supervision.sparing", *LINE_TO_SUPERVISOR},
    "bench": {"shm", "servicer.memory", "servicer.server"},  # the ceiling has the settings of the servicer's server
    "chaos": {"shm", "simulated_robot", "capture_worker.pattern"},
    "simulated_robot": LINE_TO_SUPERVISOR,
    "supervision": {"shm"},
    "supervisor": {"supervision"},
}
HEAVY = {"cv2", "grpc", "bosdyn", "numpy", "google"}
FORBIDDEN_LIBRARIES = {
    "shm": HEAVY - {"numpy"},  # numpy only inside Frame.pixels
    "capture_worker": {"grpc", "bosdyn", "google", "posix_ipc"},
    "servicer": {"posix_ipc"},
    "bench": {"posix_ipc"},
    "chaos": {"posix_ipc"},
    "simulated_robot": {"cv2", "numpy", "posix_ipc"},
    "supervision": HEAVY | {"posix_ipc", "mmap", "multiprocessing"},
    "supervisor": HEAVY | {"posix_ipc", "mmap", "multiprocessing"},
}
PICKLING = {"pickle", "_pickle", "cPickle", "marshal", "shelve", "multiprocessing", "dill", "cloudpickle", "joblib"}
SDK_ADAPTERS = {  # they run the camera classes of the SDK's users, and may import what those do
    f"capture_worker/{name}.py" for name in ("camera_interface", "camera_loading", "own_decode", "own_picture")
}


def modules_of(package: str) -> Iterator[Path]:
    """The source files of a package, or of a single module."""
    single = PROJECT_FOLDER / f"{package}.py"
    yield from [single] if single.exists() else sorted((PROJECT_FOLDER / package).rglob("*.py"))


def imports_of(path: Path) -> set[str]:
    """Dotted names that a file imports, wherever in it: `from a import b` counts as a.b if that is a module."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            submodules = {f"{module}.{alias.name}" for alias in node.names if is_module(f"{module}.{alias.name}")}
            names.update(submodules or {module})
    return names


def is_module(name: str) -> bool:
    """Whether a dotted name is a module of this project."""
    return (PROJECT_FOLDER / name.replace(".", "/")).with_suffix(".py").exists()


@pytest.mark.parametrize("package", OURS)
def test_import_arrows(package: str) -> None:
    """A package imports only those of ours that the architecture allows."""
    for path in modules_of(package):
        for name in imports_of(path):
            top = name.partition(".")[0]
            if top in OURS and top != package:
                assert {name, top} & ALLOWED[package], f"{path.relative_to(PROJECT_FOLDER)} imports {name}"


@pytest.mark.parametrize("package", OURS)
def test_forbidden_libraries(package: str) -> None:
    """No process loads a library that could take it down for another's work."""
    for path in modules_of(package):
        found = {name.partition(".")[0] for name in imports_of(path)} & FORBIDDEN_LIBRARIES[package]
        if str(path.relative_to(PROJECT_FOLDER)) in SDK_ADAPTERS:
            found -= {"bosdyn", "google"}
        assert not found, f"{path.relative_to(PROJECT_FOLDER)} imports {found}"


@pytest.mark.parametrize("package", OURS)
def test_nothing_is_pickled(package: str) -> None:
    """Whoever can write into a pickle can run code in who reads it; multiprocessing reads pickles from its pipes."""
    for path in modules_of(package):
        found = {name.partition(".")[0] for name in imports_of(path)} & PICKLING
        assert not found, f"{path.relative_to(PROJECT_FOLDER)} imports {found}"


def test_supervisor_stays_light() -> None:
    """`import supervisor` and all that it pulls in loads nothing native but the standard library and pydantic."""
    code = "import sys, supervisor, supervision.loop; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT_FOLDER, capture_output=True, text=True, check=True
    ).stdout.split()
    assert not HEAVY & set(loaded)


def test_other_cameras_do_not_load_the_sdk() -> None:
    """A worker loads it for a camera class of the SDK's users alone."""
    modules = "worker, capture_worker.opencv_camera, capture_worker.synthetic_camera, capture_worker.video_file"
    code = f"import sys, capture_worker.{modules}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT_FOLDER, capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"bosdyn", "google", "grpc"} & {name.partition(".")[0] for name in loaded}


def test_pattern_needs_numpy_alone() -> None:
    """Tests and tools may use the test picture without the worker's libraries."""
    code = "import sys, capture_worker.pattern; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT_FOLDER, capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"cv2", "shm", "pydantic"} & {name.partition(".")[0] for name in loaded}

"""What all tests share: the rows of the fault matrix that they show, and the figures that they measure for them."""

import signal
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from tests.matrix.recording import MeasuredRow, Result

_RESULT = pytest.StashKey[Result]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of `make reliability`."""
    parser.addoption("--runs", type=int, default=1, help="how often a timed row of the fault matrix is measured")
    parser.addoption("--matrix", type=Path, help="folder for the results of the tests that show a row of the matrix")


@pytest.fixture(scope="session", autouse=True)
def _own_state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Files about processes that died go to a folder of the tests, and not to that of whoever runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _signals_of_a_terminal() -> None:
    """What `nohup make test &` ignores, the processes that the tests start would ignore too."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def runs(pytestconfig: pytest.Config) -> int:
    """How often a timed row is to be measured."""
    return int(pytestconfig.getoption("--runs"))


@pytest.fixture
def row(request: pytest.FixtureRequest) -> Callable[[str], MeasuredRow]:
    """Takes figures for a row that the test has a marker for: `row("M1").measured("first frame", took_s, 2.0)`."""

    def show(line: str) -> None:
        capture = request.config.pluginmanager.getplugin("capturemanager")
        if request.config.getoption("--matrix") and capture:
            with capture.global_and_fixture_disabled():
                print(f"\n  {line}", end="", flush=True)
        else:
            print(f"\n{line}")

    return lambda name: MeasuredRow(name, _result_of(request.node), show)


@pytest.fixture
def one_of_the_runs(request: pytest.FixtureRequest) -> int:
    """Which of the runs this is, for a test that does not repeat its row by itself."""
    return int(request.param)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Repeat the tests that take figures, unless they do it themselves, or take minutes."""
    runs = metafunc.config.getoption("--runs")
    takes_figures = metafunc.definition.get_closest_marker("row") and "row" in metafunc.fixturenames
    repeats_itself = "runs" in metafunc.fixturenames or metafunc.definition.get_closest_marker("soak")
    if runs > 1 and takes_figures and not repeats_itself:
        metafunc.fixturenames.append(one_of_the_runs.__name__)
        metafunc.parametrize(one_of_the_runs.__name__, range(runs), indirect=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep what became of a test that shows a row: the worst of its set-up, its call and its end."""
    report = yield
    folder: Path | None = item.config.getoption("--matrix")
    if folder and item.get_closest_marker("row"):
        result = _result_of(item)
        if report.when == "setup" or not report.passed:
            result.outcome = report.outcome
        result.save(folder)
    return report


def _result_of(item: pytest.Item) -> Result:
    rows = [name for marker in item.iter_markers("row") for name in marker.args]
    return item.stash.setdefault(_RESULT, Result(item.nodeid, rows))

# SPDX-License-Identifier: Apache-2.0
"""Fixtures of all tests: seeds, data and build folders."""

import os
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

PROJECT = Path(__file__).resolve().parents[1]

# The same examples on every run and machine: a failure is never a matter of luck. Slow simulators
# under a loaded machine are no failure, so there is no deadline.
settings.register_profile(
    "plosive", derandomize=True, print_blob=True, deadline=None, database=None
)
settings.load_profile("plosive")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--data", default=None, metavar="DIR", help="folder of the data sets (or PLOSIVE_DATA)"
    )
    parser.addoption(
        "--base-seed", type=int, default=1, metavar="N", help="moves the seed of every test"
    )


def pytest_report_header(config: pytest.Config) -> str:
    return f"base seed: {config.getoption('--base-seed')} (--base-seed moves every random test)"


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """Seed of this test: the same on every run, different from other tests, printed.

    The file's folder has no say in it: a test that moves to another room draws the same networks.
    """
    base = request.config.getoption("--base-seed")
    name = request.node.nodeid.rpartition("cocotb_tests/")[2].partition("::")
    file = name[0].rpartition("/")[2]
    value = zlib.crc32(f"{base} cocotb_tests/{file}::{name[2]}".encode())
    print(f"seed: {value}")
    return value


@pytest.fixture
def rng(seed: int) -> np.random.Generator:
    """Random numbers from the seed of this test."""
    return np.random.default_rng(seed)


@pytest.fixture(scope="session")
def build_root() -> Path:
    """Folder of simulation models and logs; models in it are reused by later runs."""
    folder = PROJECT / "build" / "tests"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def data_dir(request: pytest.FixtureRequest) -> Path:
    """Folder of the data sets; tests that need it skip, saying what to do, where it is missing."""
    given = request.config.getoption("--data") or os.environ.get("PLOSIVE_DATA")
    folder = Path(given) if given else PROJECT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(
            f"no data sets in {folder}: put timit-sample (NLTK's downloader: timit), arctic, "
            "kathleen or noise there, or name their folder with --data or PLOSIVE_DATA"
        )
    return folder


@pytest.fixture(autouse=True)
def no_faults(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory):
    """Fails a test in which the command line met a fault of the program, in whatever process."""
    folder = tmp_path_factory.mktemp("faults")
    monkeypatch.setenv("PLOSIVE_FAULTS", str(folder))
    yield
    found = [path.read_text(encoding="utf-8") for path in sorted(folder.iterdir())]
    assert not found, "\n".join(found)


@pytest.fixture
def one_thread():
    """One thread for torch: the last bits of its sums depend on how many there are."""
    torch = pytest.importorskip("torch", reason="training needs the extra: pip install -e .[train]")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)

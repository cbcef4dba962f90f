# SPDX-License-Identifier: Apache-2.0
"""The wheel: it holds what the checkout's packages hold, and works where no checkout is.

`make wheel` runs these tests with the wheel that it built; otherwise they build one.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
PACKAGES = ("flows", "golden_model", "hw", "model_zoo", "plosive")
NOT_SHIPPED = {".md"}  # cards and notes beside data; the networks' headers say the same
SENTENCE = "flows/speech/sentence/"


def _git_files() -> list[str]:
    """The files of the project as they are now, new ones too."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.splitlines() if (PROJECT / name).is_file()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of `make wheel`, or one from a copy: setuptools would use an old `build/lib`."""
    given = os.environ.get("PLOSIVE_WHEEL")
    if given:
        return (PROJECT / given).resolve()
    copy = tmp_path_factory.mktemp("copy")
    for name in _git_files():
        if name.split("/")[0] in (*PACKAGES, "LICENSES") or "/" not in name:
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, copy / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", "dist", "."], cwd=copy, check=True)
    (made,) = (copy / "dist").glob("*.whl")
    return made


def test_it_holds_every_file_of_the_packages(wheel: Path) -> None:
    """Checkpoints, recipes, templates, C sources, the sentence; no tests."""
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        about = {name.partition(".dist-info/")[2] for name in archive.namelist()} - {""}
    wanted = {
        name
        for name in _git_files()
        if name.split("/")[0] in PACKAGES
        and (Path(name).suffix not in NOT_SHIPPED or name.startswith(SENTENCE))
    }
    assert held - wanted == set()
    assert wanted - held == set()
    assert {"entry_points.txt", "licenses/LICENSE", "licenses/LICENSES/README.md"} <= about


def _use(python: Path, folder: Path, build_root: Path) -> None:
    """The commands and the package, in a folder without a checkout, by an environment's Python."""
    (folder / "build").symlink_to(build_root)
    (folder / "plosive").mkdir()  # a folder of that name, such as a clone, is not the package
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(*command: str) -> str:
        result = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        return result.stdout

    plosive = str(python.with_name("plosive"))
    where = run(str(python), "-c", "import flows, plosive; print(flows.__file__, plosive.__file__)")
    assert str(PROJECT) not in where
    assert run(plosive, "--version").startswith("plosive ")
    assert "speech" in run(plosive, "networks")
    assert "timit-sample" in run(plosive, "train")
    run(plosive, "generate", "--preset", "tiny", "--testbench", "-o", "out")
    run(plosive, "generate", "--preset", "tiny", "--top", "axi", "-o", "ip")
    assert (folder / "ip" / "plosive.c").is_file()
    sentence = next(Path(where.split()[0]).parent.rglob("*.flac"))
    assert "ay" in run(plosive, "transcribe", str(sentence)).split()
    simulated = run(plosive, "simulate", "--preset", "tiny", "--random", "1", "--frames", "3")
    assert re.search(r"mismatches +0 *$", simulated, re.MULTILINE)
    code = "import plosive; print(plosive.area(plosive.preset('tiny'), pdk='generic').total.cells)"
    assert int(run(str(python), "-c", code)) > 1000


def test_it_works_outside_the_checkout(wheel: Path, tmp_path: Path, build_root: Path) -> None:
    """In an environment of its own that borrows what Plosive depends on."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    python = tmp_path / "env" / "bin" / "python"
    target = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    # Only the folder itself: .pth files in it, such as that of the checkout, have no effect.
    Path(target, "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--no-index", "--force-reinstall", wheel], check=True)
    _use(python, tmp_path, build_root)


@pytest.mark.slow
def test_it_installs_in_a_fresh_environment(wheel: Path, tmp_path: Path) -> None:
    """With what it depends on from the registry, in the versions that are tested."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "env"], check=True)
    python = tmp_path / "env" / "bin" / "python"
    lock = ["--constraint", PROJECT / "requirements.lock"]
    subprocess.run([python, "-m", "pip", "install", "--quiet", *lock, wheel], check=True)
    (tmp_path / "models").mkdir()
    _use(python, tmp_path, tmp_path / "models")

# SPDX-License-Identifier: Apache-2.0
"""Tools, atomic writing, and building and running simulation models."""

import ast
import errno
import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cocotb_tests.runner import run_bench
from flows.tools import toolchain, verilator
from flows.tools.toolchain import ToolError
from golden_model.files import writing
from golden_model.files.writing import atomic_directory, atomic_write
from hw.errors import PlosiveError

BENCH = "cocotb_tests.flows.bench_toolchain"
COUNTER = """
module counter(input clk, input rst, output reg [3:0] count);
  always @(posedge clk) count <= rst ? 4'd0 : count + 4'd1;
endmodule
"""


def counter_file(folder: Path, text: str = COUNTER) -> Path:
    source = folder / "counter.v"
    source.write_text(text)
    return source


# --- tools ------------------------------------------------------------------------------------


def test_every_required_tool_reports_a_version():
    versions = toolchain.versions()
    assert versions.keys() == toolchain.TOOLS.keys()
    for name, spec in toolchain.TOOLS.items():
        assert versions[name] or not spec.required
        assert "\n" not in (versions[name] or "")


@pytest.mark.parametrize("name", ["g++", "make", "perl", "iverilog"])
def test_missing_tool_is_named_with_its_use_and_package(name, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    toolchain.find.cache_clear()
    try:
        with pytest.raises(ToolError) as caught:
            toolchain.find(name)
    finally:
        toolchain.find.cache_clear()
    purpose = toolchain.TOOLS[name].purpose
    assert str(caught.value) == (
        f"{name} was not found: it is needed to {purpose}; install the Debian package {name}"
    )


def test_missing_compiler_stops_a_build_before_it_starts(monkeypatch, tmp_path):
    source = counter_file(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    toolchain.find.cache_clear()
    try:
        with pytest.raises(ToolError, match=r"^g\+\+ was not found: "):
            verilator.build([source], "counter", tmp_path / "models")
    finally:
        toolchain.find.cache_clear()
    assert not (tmp_path / "models").exists()


def test_missing_python_package_of_verilator_falls_back_to_the_path(monkeypatch, tmp_path):
    installed = tmp_path / "verilator"
    installed.write_text("#!/bin/sh\necho Verilator 9.999\n")
    installed.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(toolchain, "_package_folder", lambda _name: None)
    toolchain.find.cache_clear()
    try:
        tool = toolchain.find("verilator")
    finally:
        toolchain.find.cache_clear()
    assert (tool.path, tool.version) == (installed, "Verilator 9.999")


def test_tool_that_does_not_start_is_named(monkeypatch, tmp_path):
    broken = tmp_path / "make"
    broken.write_text("#!/no/such/interpreter\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    toolchain.find.cache_clear()
    try:
        with pytest.raises(ToolError, match=f"^make at {re.escape(str(broken))} does not start"):
            toolchain.find("make")
    finally:
        toolchain.find.cache_clear()


def test_python_without_shared_library_is_refused(monkeypatch):
    monkeypatch.setattr("find_libpython.find_libpython", lambda: None)
    with pytest.raises(ToolError, match=r"^libpython was not found: .* package libpython3\.\d+ "):
        toolchain.python_library()


# --- atomic writing ---------------------------------------------------------------------------


def test_atomic_write_makes_folders_and_replaces(tmp_path):
    path = tmp_path / "a" / "b" / "file"
    atomic_write(path, b"one")
    atomic_write(path, b"two")
    assert path.read_bytes() == b"two"
    assert os.listdir(path.parent) == ["file"]


def test_atomic_write_follows_a_link_and_keeps_it(tmp_path):
    (tmp_path / "target").write_bytes(b"old")
    (tmp_path / "link").symlink_to("target")
    atomic_write(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"new"


def test_unwritable_path_is_one_line_naming_path_and_reason(tmp_path):
    # A path below a file: nobody can write there, not even root.
    (tmp_path / "file").write_text("")
    file = tmp_path / "file"
    for folder in (file, file / "more"):
        message = re.escape(f"cannot write {folder}: {file} is not a folder")
        with pytest.raises(PlosiveError, match=f"^{message}$"):
            atomic_write(folder / "below", b"data")
        with pytest.raises(PlosiveError, match=f"^{message}$"), atomic_directory(folder / "below"):
            pytest.fail("the block must not run")


def test_full_disk_is_one_line_and_leaves_the_device(tmp_path):
    with pytest.raises(PlosiveError) as caught:
        atomic_write("/dev/full", b"data")
    assert str(caught.value) == "cannot write /dev/full: No space left on device"
    assert Path("/dev/full").is_char_device()
    (tmp_path / "link").symlink_to("/dev/full")
    with pytest.raises(PlosiveError, match=r"No space left on device$"):
        atomic_write(tmp_path / "link", b"data")


def test_failed_write_keeps_the_old_file_and_leaves_nothing(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def full(_descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("golden_model.files.writing.os.fsync", full)
    with pytest.raises(PlosiveError) as caught:
        atomic_write(path, b"new")
    assert str(caught.value) == f"cannot write {path}: No space left on device"
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_atomic_directory_appears_whole_and_replaces(tmp_path):
    path = tmp_path / "a" / "folder"
    for content in ("one", "two"):
        with atomic_directory(path) as work:
            (work / content).write_text(content)
            assert not (path / content).exists()
    assert os.listdir(path) == ["two"]
    assert os.listdir(path.parent) == ["folder"]


def test_atomic_directory_keeps_the_old_one_when_the_block_raises(tmp_path):
    path = tmp_path / "folder"
    with atomic_directory(path) as work:
        (work / "old").write_text("")
    with pytest.raises(ZeroDivisionError), atomic_directory(path) as work:
        (work / "new").write_text("")
        raise ZeroDivisionError
    assert os.listdir(path) == ["old"]
    assert os.listdir(tmp_path) == ["folder"]


def test_full_disk_inside_atomic_directory_leaves_nothing(tmp_path):
    path = tmp_path / "folder"
    with pytest.raises(PlosiveError) as caught, atomic_directory(path) as work:
        (work / "file").symlink_to("/dev/full")
        (work / "file").write_text("data")
    assert str(caught.value) == f"cannot write {path}: No space left on device"
    assert os.listdir(tmp_path) == []


def test_atomic_directory_passes_reading_errors_on(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_directory(tmp_path / "x" / "folder"):
        (tmp_path / "missing").read_text()
    assert os.listdir(tmp_path / "x") == []


def test_atomic_directory_refuses_a_file_in_its_place(tmp_path):
    path = tmp_path / "file"
    path.write_text("kept")
    message = f"^cannot write {re.escape(str(path))}: it exists and is not a folder$"
    with pytest.raises(PlosiveError, match=message), atomic_directory(path):
        pytest.fail("the block must not run")
    assert path.read_text() == "kept"


# --- building ---------------------------------------------------------------------------------


def test_model_is_built_once_and_rebuilt_for_other_sources_or_options(build_root, tmp_path):
    source = counter_file(tmp_path)
    model = verilator.build([source], "counter", build_root)
    built = (model.directory / "simulation").stat()
    assert set(os.listdir(model.directory)) - {".sizes.json"} == {"build.json", "simulation"}

    again = verilator.build([source], "counter", build_root)
    assert again == model
    assert (model.directory / "simulation").stat().st_ino == built.st_ino

    other = verilator.build([source], "counter", build_root, extra_args=["-DOTHER"])
    changed = verilator.build(
        [counter_file(tmp_path, COUNTER + "// changed\n")], "counter", build_root
    )
    assert len({model.directory, other.directory, changed.directory}) == 3


def test_builds_of_one_model_at_a_time_do_not_collide(build_root, tmp_path):
    source = counter_file(tmp_path, COUNTER + f"// {tmp_path}\n")
    with ThreadPoolExecutor(3) as pool:
        models = list(
            pool.map(lambda _: verilator.build([source], "counter", build_root), range(3))
        )
    assert len(set(models)) == 1
    result = models[0].run(
        BENCH, "counts", env={}, seed=1, timeout_s=60, log_path=tmp_path / "run.log"
    )
    assert result.passed, result.messages


@pytest.mark.parametrize(
    ("verilog", "message"),
    [
        ("module counter(input clk; endmodule", r"^Verilator refuses counter: %Error: .*syntax"),
        (
            "module counter(input clk, output [3:0] eval); assign eval = {4{clk}}; endmodule",
            r"^the model of counter does not compile: .*eval",
        ),
    ],
    ids=["syntax", "compiler"],
)
def test_failed_build_says_why_and_leaves_nothing(verilog, message, tmp_path):
    source = counter_file(tmp_path, verilog)
    models = tmp_path / "models"
    with pytest.raises(PlosiveError, match=message) as caught:
        verilator.build([source], "counter", models)
    assert "\n" not in str(caught.value)
    assert [name for name in os.listdir(models) if not name.endswith(".lock")] == []


def test_missing_source_and_unwritable_build_folder_are_one_line(tmp_path):
    missing = tmp_path / "missing.v"
    with pytest.raises(PlosiveError) as caught:
        verilator.build([missing], "counter", tmp_path / "models")
    assert str(caught.value) == f"cannot read {missing}: No such file or directory"
    source = counter_file(tmp_path)
    with pytest.raises(PlosiveError, match=r"^cannot write (.*): \1 is not a folder$"):
        verilator.build([source], "counter", source)


@pytest.mark.parametrize(
    ("name", "what"),
    [("a b", "a blank"), ("a\nb", "a blank"), ("a\u2028b", "a blank")]
    + [(f"a{odd}b", repr(odd)) for odd in ";#:$'\"`%*?[({&|<>~!\\=\x1b\udc80"],
)
def test_build_folder_in_which_make_does_not_work_is_refused(name, what, tmp_path):
    with pytest.raises(PlosiveError) as error:
        verilator.build([counter_file(tmp_path)], "counter", tmp_path / name)
    assert str(error.value) == (
        f"cannot build below {str(tmp_path / name)!r}: make does not work in folders whose name "
        f"holds {what}; move the project or choose another build folder"
    )


def test_a_model_that_was_damaged_is_built_again(tmp_path):
    source = counter_file(tmp_path)
    for damage in ("nothing", "executable", "executable gone", "sizes", "run-time library"):
        model = verilator.build([source], "counter", tmp_path / "build")
        made = model.executable.stat()
        if damage == "executable":
            os.truncate(model.executable, made.st_size // 2)
        elif damage == "executable gone":
            model.executable.unlink()
        elif damage == "sizes":
            (model.directory / ".sizes.json").write_text("{")
        elif damage == "run-time library":
            for compiled in (tmp_path / "build" / "runtime").rglob("*.o"):
                os.truncate(compiled, 100)
            model.executable.unlink()
        again = verilator.build([source], "counter", tmp_path / "build")
        assert again == model
        now = again.executable.stat()
        assert now.st_size == made.st_size
        assert (now.st_ino == made.st_ino) == (damage == "nothing")


@pytest.mark.parametrize(
    "verilog",
    [
        "module top(input clk, input [3:0] a, b, output reg signed [3:0] c); wire inner; endmodule",
        "module top(clk, a, b, c); // input comment;\n (* keep *) input clk; input [3:0] a, b;\n"
        " output [3:0] c; reg [3:0] c = 0; wire inner; endmodule module other(input d); endmodule",
    ],
    ids=["ports in the header", "ports in the body"],
)
def test_bench_sees_the_ports_and_nothing_that_keeps_verilator_from_optimising(verilog):
    lines = verilator._visibility([verilog.encode()], "top").splitlines()[1:]
    assert lines == [
        f'public_flat_rw -module "top" -var "{port}"' for port in ("a", "b", "c", "clk")
    ]


# --- running ----------------------------------------------------------------------------------


@pytest.fixture
def bench(build_root, seed):
    def run(testcase, **options):
        return run_bench(
            COUNTER,
            "counter",
            BENCH,
            build_root=build_root,
            testcase=testcase,
            **{"seed": seed, "check": False, **options},
        )

    return run


def test_passing_bench_is_reported_as_passed(bench):
    result = bench("counts", check=True)
    assert (result.passed, result.tests, result.failures, result.messages) == (True, 1, 0, ())
    assert "cocotb" in result.log.read_text()


def test_failing_bench_is_reported_as_failed(bench):
    result = bench("counts_wrongly")
    assert (result.passed, result.tests, result.failures) == (False, 1, 1)
    assert "bench_toolchain.counts_wrongly: " in result.messages[0]
    assert "the counter is right" in result.messages[0]
    with pytest.raises(AssertionError, match="the counter is right"):
        bench("counts_wrongly", check=True)


def test_broken_component_turns_the_bench_red(build_root, seed):
    broken = COUNTER.replace("4'd1", "4'd2")
    result = run_bench(
        broken, "counter", BENCH, build_root=build_root, seed=seed, testcase="counts", check=False
    )
    assert (result.passed, result.failures) == (False, 1)


def test_bench_without_that_test_is_reported_as_failed(bench):
    # "ounts" is the end of a name that exists: cocotb's own filter would run that one.
    result = bench("ounts")
    assert (result.passed, result.tests) == (False, 0)
    assert result.messages[0].startswith("no test ran; see ")


def test_endless_simulation_is_stopped_and_reported(bench):
    result = bench("never_ends", timeout_s=3)
    assert not result.passed
    assert result.messages[0].startswith("stopped after the limit of 3 s; see ")


def test_simulation_that_dies_is_reported_as_failed(bench):
    result = bench("dies")
    assert not result.passed
    assert result.messages[0].startswith("the simulation ended with exit status 3; see ")


def test_bench_that_cannot_be_imported_is_reported_as_failed(build_root, seed):
    result = run_bench(
        COUNTER, "counter", "cocotb_tests.bench_none", build_root=build_root, seed=seed, check=False
    )
    assert not result.passed
    assert "No module named 'cocotb_tests.bench_none'" in result.messages[0]


def test_seed_and_variables_reach_the_bench(bench, monkeypatch):
    # Neither an outer cocotb run nor the caller's environment may change what runs.
    monkeypatch.setenv("COCOTB_TEST_FILTER", "nothing")
    monkeypatch.setenv("COCOTB_RANDOM_SEED", "4")
    monkeypatch.setenv("WAVES", "1")

    def drawn(seed, value):
        result = bench("reports_seed_and_variable", seed=seed, env={"PLOSIVE_TEST_VALUE": value})
        assert result.passed, result.messages
        return re.search(r"drawn (\d+), given (\w+)", result.log.read_text()).groups()

    first = drawn(1, "x")
    assert first[1] == "x"
    assert drawn(1, "y") == (first[0], "y")
    assert drawn(2, "x")[0] != first[0]


def test_waveform_is_written_where_it_was_asked_for(bench, build_root, tmp_path):
    result = bench("counts", waves=True)
    assert result.passed, result.messages
    waves = result.log.with_suffix(f".{verilator.wave_format()}")
    assert waves.stat().st_size > 0
    plain = verilator.build([counter_file(tmp_path)], "counter", build_root)
    with pytest.raises(PlosiveError, match=r"was built without waves: build it with them$"):
        plain.run(
            BENCH,
            "counts",
            env={},
            seed=1,
            timeout_s=60,
            log_path=tmp_path / "log",
            waves_path=tmp_path / "waves",
        )


# --- lint -------------------------------------------------------------------------------------


def test_lint_returns_warnings_and_refuses_errors(tmp_path):
    clean = counter_file(tmp_path)
    assert verilator.lint(clean, "counter") == []
    clean.write_text(COUNTER.replace("[3:0]", "[4:0]"))
    codes = {warning.split(":")[0] for warning in verilator.lint(clean, "counter")}
    assert codes == {"WIDTHEXPAND"}
    clean.write_text("module counter(")
    with pytest.raises(PlosiveError, match=r"^Verilator refuses counter: %Error: "):
        verilator.lint(clean, "counter")


# --- make and packaging -----------------------------------------------------------------------


def project_file(name: str) -> Path:
    return Path(__file__).resolve().parents[2] / name


def test_make_setup_names_every_missing_tool(tmp_path):
    make = toolchain.find("make").path
    for name in ("sh", "echo", "touch"):
        (tmp_path / name).symlink_to(subprocess.check_output(["which", name], text=True).strip())
    result = subprocess.run(
        [make, "-f", project_file("Makefile"), "setup", f"VENV={tmp_path / 'venv'}", "MAKEFLAGS="],
        cwd=project_file("."),
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert result.returncode != 0
    for package in ("python3.11", "g++", "perl"):
        assert re.search(rf"install the Debian package {re.escape(package)}$", result.stderr, re.M)
    assert not (tmp_path / "venv").exists()


def test_lock_satisfies_every_declared_dependency():
    import tomllib

    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    lines = project_file("requirements.lock").read_text().splitlines()
    added = project_file("requirements-docs.lock").read_text().splitlines()  # by `make docs`
    pins = [Requirement(line) for line in (*lines, *added) if line and not line.startswith("#")]
    locked = {canonicalize_name(pin.name): next(iter(pin.specifier)).version for pin in pins}
    assert len(locked) == len(pins)
    # torch, and what is nothing without it, is pinned for the Python of the trained networks only;
    # coloquinte for those that it has wheels for.
    marked = {canonicalize_name(pin.name): str(pin.marker) for pin in pins if pin.marker}
    assert marked.pop("coloquinte") == 'python_version < "3.13"'
    assert set(marked) == {
        *("fsspec", "mpmath", "networkx", "nirtorch", "snntorch", "sympy", "torch")
    }
    assert set(marked.values()) == {'python_version == "3.11"'}
    project = tomllib.loads(project_file("pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    for text in [*project["dependencies"], *(text for extra in extras for text in extra)]:
        wanted = Requirement(text)
        assert wanted.specifier, f"{wanted.name} has no bound"
        assert locked[canonicalize_name(wanted.name)] in wanted.specifier, text
    assert not [name for name in locked if name.startswith(("nvidia", "cuda", "triton"))]


def test_the_product_imports_no_package_of_the_extra_dev():
    used = set()
    for package in ("hw", "golden_model", "model_zoo", "flows"):
        for path in project_file(package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    used |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.level == 0:
                    used.add(node.module.partition(".")[0])
    assert "numpy" in used
    assert used & {"cocotb_tests", "cocotbext", "hypothesis", "pytest"} == set()


def test_every_public_name_of_flows_exists():
    for module in (writing, toolchain, verilator):
        assert all(hasattr(module, name) for name in module.__all__), module.__name__

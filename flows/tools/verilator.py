# SPDX-License-Identifier: Apache-2.0
"""Fast simulation models of Verilog, built by Verilator, and cocotb tests that run in them.

The options aim at clocks per second first and at build time second; `docs/verification.md` says
what each is worth. The clock is driven by cocotb's `Clock(..., impl="gpi")`, so models are built
without Verilator's `--timing`.
"""

import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import cocotb_tools.config
from cocotb_tools.check_results import get_results
from cocotb_tools.runner import Verilator

from flows.tools import toolchain
from flows.tools.build_once import build_once, is_finished
from flows.tools.process import run_child
from golden_model.files.writing import atomic_write, make_directory
from hw.errors import PlosiveError

__all__ = ["RunResult", "SimModel", "build", "build_program", "lint", "wave_format"]

_EXECUTABLE = "simulation"
_STAMP = "build.json"
_RUNTIME_STAMP = "verilated.o"
# Raised when the commands below change in a way that the key of a build does not see.
_RECIPE = 3
# Below this much C++ a model is compiled as one file: it takes half of the processor time, as
# Verilator's headers are read once. Above it, several compilers side by side finish earlier.
_ONE_FILE_BYTES = 2_000_000

_VERILATOR_OPTIONS = (
    "-O3",
    "--x-assign",
    "fast",
    "--x-initial",
    "fast",
    "--threads",
    "1",
    "--no-timing",
    "--vpi",
    "--output-split",
    "10000",
    "-Wno-fatal",
)

_MAKE_OPTIONS = (
    "OPT_FAST=-O2",
    "OPT_GLOBAL=-O2",
    # verilated.mk of the Python package names the compiler and the flags of the machine that it
    # was built on.
    "CXX=g++",
    "LINK=g++",
    "AR=ar",
    "CFG_CXXFLAGS_PCH_I=-include",
    "CFG_LDLIBS_THREADS=-pthread",
)


@dataclass(frozen=True)
class RunResult:
    """What a run of cocotb tests gave.

    Attributes
    ----------
    passed
        Whether at least one test ran and none failed.
    tests, failures
        Number of tests that ran, and of those that failed or broke off.
    messages
        One line or more for each failure, and for a run that broke off.
    log
        The simulator's output.
    """

    passed: bool
    tests: int
    failures: int
    messages: tuple[str, ...]
    log: Path


@dataclass(frozen=True)
class SimModel:
    """A built simulation model.

    Attributes
    ----------
    directory
        Its folder; the name holds a hash of all that went into the build.
    top
        Name of the top module.
    waves
        File name suffix of the waveforms it can write, "fst" or "vcd", or None.
    random_state
        Whether state without an initial value starts at random, by the seed of the run.
    """

    directory: Path
    top: str
    waves: str | None
    random_state: bool = False

    @property
    def executable(self) -> Path:
        """The model with its main program."""
        return self.directory / _EXECUTABLE

    def run(
        self,
        test_module: str,
        testcase: str | None,
        *,
        env: Mapping[str, str],
        seed: int,
        timeout_s: float,
        log_path: Path,
        waves_path: Path | None = None,
        plusargs: Sequence[str] = (),
    ) -> RunResult:
        """Run the cocotb tests of a Python module in the model.

        Parameters
        ----------
        test_module
            Importable name, as "cocotb_tests.blocks.bench_pe".
        testcase
            One test of it by its exact name, or None for all.
        env
            Variables added to the environment of the simulation.
        seed
            Seeds `random` in the simulation, `cocotb.RANDOM_SEED`, and random state.
        timeout_s
            Wall-clock limit in seconds; the simulation is killed and counts as failed.
        log_path
            Receives the simulator's output; its folder is made.
        waves_path
            Receives the waveform of the whole run, in the format `self.waves`.
        plusargs
            Arguments written "+name", for `$test$plusargs` in the Verilog.

        Raises
        ------
        PlosiveError
            `waves_path` for a model built without waves, or `log_path` cannot be written.
        ToolError
            This Python has no shared library.
        """
        if waves_path is not None and self.waves is None:
            raise PlosiveError(f"{self.directory.name} was built without waves: build it with them")
        python_library = toolchain.python_library()
        log_path = Path(log_path).resolve()
        atomic_write(log_path, b"")
        if waves_path is not None:
            make_directory(waves_path.parent)
        command = [str(self.executable), *self.state_options(seed), *plusargs]
        runner = _Runner(command, timeout_s, waves_path)
        with tempfile.TemporaryDirectory(prefix="plosive-run-") as scratch:
            results = Path(scratch, "results.xml")
            broke_off = None
            try:
                runner.test(
                    test_module,
                    hdl_toplevel=self.top,
                    hdl_toplevel_lang="verilog",
                    test_filter=None if testcase is None else rf"\.{re.escape(testcase)}$",
                    seed=seed,
                    extra_env={**env, "LIBPYTHON_LOC": str(python_library)},
                    test_dir=scratch,
                    results_xml=str(results),
                    log_file=log_path,
                )
            except subprocess.TimeoutExpired:
                broke_off = f"stopped after the limit of {timeout_s:g} s"
            except SystemExit as error:
                # What the runner raises for failed tests and for a simulator that failed.
                broke_off = f"the simulation ended with exit status {error.code}"
            return _read_results(results, broke_off, log_path)

    def state_options(self, seed: int) -> list[str]:
        """Options of the executable that make random state follow the seed."""
        if not self.random_state:
            return []
        # From 1: 0 would mean the time of day.
        return ["+verilator+rand+reset+2", f"+verilator+seed+{seed % (2**31 - 1) + 1}"]


class _Runner(Verilator):
    """Cocotb's Verilator runner for a model that is built already, with a time limit."""

    def __init__(self, command: list[str], timeout_s: float, waves_path: Path | None) -> None:
        super().__init__()
        self.log.setLevel("ERROR")
        self._command = command
        self._timeout_s = timeout_s
        self._waves_path = waves_path

    def _set_env_common(self) -> None:
        # The runner lets the caller's environment win over what it was given.
        given = dict(self.env)
        super()._set_env_common()
        self.env.update(given)
        if "COCOTB_TEST_FILTER" not in given:
            self.env.pop("COCOTB_TEST_FILTER", None)
        for stale in ("COCOTB_TESTCASE", "COCOTB_PLUSARGS"):
            self.env.pop(stale, None)

    def _test_command(self) -> list[list[str]]:
        command = list(self._command)
        if self._waves_path is not None:
            command += ["--trace", "--trace-file", str(self._waves_path.resolve())]
        return [command]

    def _execute_cmds(
        self, cmds: Sequence[list[str]], cwd: str | os.PathLike[str], stdout: TextIO | None = None
    ) -> None:
        for command in cmds:
            status = run_child(command, cwd, env=self.env, stdout=stdout, timeout_s=self._timeout_s)
            if status != 0:
                raise subprocess.CalledProcessError(status, command)


def _read_results(results: Path, broke_off: str | None, log: Path) -> RunResult:
    try:
        tests, failures = get_results(results)
        cases = list(ElementTree.parse(results).getroot().iter("testcase"))
    except (RuntimeError, ElementTree.ParseError):
        reason = broke_off or "the simulation ended without results"
        return RunResult(False, 0, 0, (f"{reason}; see {log}{_last_lines(log)}",), log)
    messages = []
    skipped = 0
    for case in cases:
        skipped += case.find("skipped") is not None
        for kind in ("failure", "error"):
            for element in case.findall(kind):
                text = element.get("message") or element.get("error_msg") or element.text or kind
                messages.append(f"{case.get('classname')}.{case.get('name')}: {text.strip()}")
    ran = tests - skipped
    if broke_off is not None and failures == 0:
        messages.append(f"{broke_off}; see {log}{_last_lines(log)}")
    if ran == 0:
        messages.append(f"no test ran; see {log}")
    passed = ran > 0 and failures == 0 and broke_off is None
    return RunResult(passed, ran, failures, tuple(messages), log)


def _last_lines(log: Path, count: int = 10) -> str:
    lines = log.read_text(errors="replace").splitlines()[-count:]
    return "".join(f"\n    {line}" for line in lines)


def wave_format() -> str:
    """Format of the waveforms that can be written here.

    "fst" where the compiler finds lz4 and zlib (Debian packages liblz4-dev and zlib1g-dev), which
    Verilator's writer needs, and "vcd", which needs nothing and makes larger files, elsewhere.

    Raises
    ------
    ToolError
        There is no compiler.
    """
    headers = ("lz4.h", "zlib.h")
    return "fst" if all(toolchain.has_header(header) for header in headers) else "vcd"


def build(
    verilog_sources: Sequence[Path],
    top: str,
    build_dir: Path,
    *,
    waves: bool = False,
    jobs: int = 2,
    extra_args: Sequence[str] = (),
    program: Path | None = None,
    random_state: bool = False,
    make_args: Sequence[str] = (),
) -> SimModel:
    """Build the simulation model of a module, or find the one built before.

    The model lies in a folder of `build_dir` named after a hash of the sources, the options and
    the versions of the tools, and appears there whole or not at all. Several processes may build
    in the same `build_dir`; the second to ask for a model waits for the first.

    Parameters
    ----------
    verilog_sources
        Verilog files. Files that these include or read are not part of the hash.
    top
        Name of the top module. Its ports are all that a bench sees; their names must not be those
        of members of Verilator's model class (`trace`, `eval`, `final`, `name`).
    build_dir
        Folder of all models, made if missing; models in it share the compiled run-time library.
    waves
        Whether runs can write waveforms, in the format of `wave_format`.
    jobs
        Compiler processes at a time.
    extra_args
        More options of Verilator.
    program
        A C++ file with a `main` of its own in place of cocotb's; `SimModel.executable` is it.
    random_state
        Let state without an initial value start at random and not at zero.
    make_args
        More options of make, as "OPT_FAST=-O1" where the compiler's time counts more.

    Raises
    ------
    ToolError
        Verilator, g++, make or perl is missing.
    PlosiveError
        The Verilog is wrong (the line holds the first error), or `build_dir` cannot be written.
    """
    sources = [Path(source).resolve() for source in verilog_sources]
    build_dir = Path(build_dir).resolve()
    tools = {name: toolchain.find(name).version for name in ("verilator", "g++", "make", "perl")}
    _refuse_for_make(build_dir, toolchain.find("verilator").path)
    trace = wave_format() if waves else None
    options = (*_VERILATOR_OPTIONS, *extra_args)
    if random_state:
        options += ("--x-initial", "unique")
    if program is not None:
        options = tuple(option for option in options if option != "--vpi")
    if trace is not None:
        options += (f"--trace-{trace}",)
    contents = [_read(source) for source in sources]
    recipe = {
        "recipe": _RECIPE,
        "top": top,
        "options": options,
        "make": (*_MAKE_OPTIONS, *make_args),
        "tools": tools,
        "cocotb": importlib.metadata.version("cocotb"),
        "cocotb_library": str(cocotb_tools.config.libs_dir),
        "sources": [hashlib.sha256(content).hexdigest() for content in contents],
    }
    if program is not None:
        recipe["program"] = hashlib.sha256(_read(program)).hexdigest()
    target = build_dir / f"{top}-{_digest(recipe)}"
    model = SimModel(target, top, trace, random_state)

    def fill(work: Path) -> None:
        visible = work / "visible.vlt"
        if program is None:
            visible.write_text(_visibility(contents, top))
            main = [visible, *_cocotb_main()]
        else:
            main = [program.resolve()]
        runtime_dir = build_dir / "runtime"
        _compile([*main, *sources], top, options, make_args, work, runtime_dir, tools, jobs)
        visible.unlink(missing_ok=True)
        (work / _STAMP).write_text(json.dumps(recipe, indent=1))

    build_once(target, _STAMP, fill)
    return model


def _read(source: Path) -> bytes:
    try:
        return source.read_bytes()
    except OSError as error:
        raise PlosiveError(f"cannot read {source}: {error.strerror or error}") from error


def _visibility(contents: Sequence[bytes], top: str) -> str:
    """Verilator's control file that lets a bench see the ports of the top, and nothing else.

    Whatever is visible is kept from optimisation: for the core of `paper-t2`, the top's inner
    wires too (`--public-depth 1`) double the code to compile and to run, and everything
    (`--public-flat-rw`, cocotb's default) more than that.
    """
    text = "\n".join(content.decode(errors="replace") for content in contents)
    text = re.sub(r"//[^\n]*|/\*.*?\*/|\(\*(?!\)).*?\*\)", " ", text, flags=re.DOTALL)
    module = re.search(rf"\bmodule\s+{re.escape(top)}\b(.*?)\bendmodule\b", text, re.DOTALL)
    if module is None:
        raise PlosiveError(f"the Verilog has no module {top}")
    ports: set[str] = set()
    # Names up to the next direction, of "input a, b, output reg [3:0] c" and "input [3:0] a;".
    for names in re.findall(
        r"\b(?:input|output|inout)\b([^;)]*?)(?=\b(?:input|output|inout)\b|[;)])", module[1]
    ):
        plain = re.sub(r"\[[^\]]*\]|=[^,]*|\b(?:wire|reg|logic|signed|unsigned)\b", " ", names)
        ports.update(re.findall(r"[A-Za-z_]\w*", plain))
    lines = [f'public_flat_rw -module "{top}" -var "{port}"' for port in sorted(ports)]
    return "\n".join(["`verilator_config", *lines, ""])


# What make, the shell that it calls, and the compiler's list of dependencies leave alone.
_MAKE_WORD = re.compile(r"[\w./+,@-]*")


def _refuse_for_make(*paths: Path) -> None:
    for path in paths:
        odd = _MAKE_WORD.sub("", str(path))
        if odd:
            what = "a blank" if odd[0].isspace() else repr(odd[0])
            raise PlosiveError(
                f"cannot build below {str(path)!r}: make does not work in folders whose name "
                f"holds {what}; move the project or choose another build folder"
            )


def _digest(data: object) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]


def _cocotb_main() -> list[str]:
    """Sources and options of cocotb's main program."""
    libraries = cocotb_tools.config.libs_dir
    return [
        *("-LDFLAGS", f"-Wl,-rpath,{libraries} -L{libraries} -lcocotbvpi_verilator"),
        str(cocotb_tools.config.share_dir / "lib" / "verilator" / "verilator.cpp"),
    ]


def _compile(
    sources: Sequence[Path | str],
    top: str,
    options: Sequence[str],
    make_args: Sequence[str],
    work: Path,
    runtime_dir: Path,
    tools: Mapping[str, str],
    jobs: int,
) -> None:
    """Make the executable in `work`, and leave nothing else there."""
    objects = work / "objects"
    _run_tool(
        [
            str(toolchain.find("verilator").path),
            *("--cc", "--exe", "--prefix", "Vtop", "--top-module", top),
            *("-Mdir", str(objects), "-o", _EXECUTABLE),
            *options,
            *map(str, sources),
        ],
        f"Verilator refuses {top}",
    )
    written = sum(path.stat().st_size for path in objects.glob("*.cpp"))
    make = [
        str(toolchain.find("make").path),
        *("-s", "-C", str(objects), "-f", "Vtop.mk"),
        *_MAKE_OPTIONS,
        *(["VM_PARALLEL_BUILDS=0"] if written < _ONE_FILE_BYTES else []),
        *make_args,
        f"PYTHON3={sys.executable}",
    ]
    # The run-time library is most of the work of a small build and is the same for all models
    # that are compiled with the same flags.
    runtime_flags = _run_tool(
        [*make, "--eval", "plosive-flags: ; @echo $(VK_GLOBAL_OBJS) $(CPPFLAGS)", "plosive-flags"],
        f"make fails on the model of {top}",
    )
    runtime = runtime_dir / _digest([runtime_flags, _MAKE_OPTIONS, dict(tools)])
    if is_finished(runtime, _RUNTIME_STAMP):
        for compiled in runtime.glob("*.o"):
            shutil.copy(compiled, objects)
    _run_tool([*make, f"-j{jobs}"], f"the model of {top} does not compile")

    def keep(folder: Path) -> None:
        for compiled in objects.glob("verilated*.o"):
            shutil.copy(compiled, folder)

    build_once(runtime, _RUNTIME_STAMP, keep)
    (objects / _EXECUTABLE).rename(work / _EXECUTABLE)
    shutil.rmtree(objects)


def build_program(verilog_sources: Sequence[Path], top: str, folder: Path) -> Path:
    """Build a Verilog bench that drives its own clock into a program, in an empty folder.

    Raises
    ------
    ToolError
        Verilator, g++, make or perl is missing.
    PlosiveError
        The Verilog is wrong; the line holds the first error.
    """
    for name in ("g++", "perl"):
        toolchain.find(name)
    _refuse_for_make(folder, toolchain.find("verilator").path)
    _run_tool(
        [
            str(toolchain.find("verilator").path),
            *(
                "--cc",
                "--exe",
                "--main",
                "--timing",
                "-Wno-fatal",
            ),
            *("--prefix", "Vtop", "--top-module", top, "-Mdir", str(folder), "-o", _EXECUTABLE),
            *(str(Path(source).resolve()) for source in verilog_sources),
        ],
        f"Verilator refuses {top}",
    )
    _run_tool(
        [
            *(str(toolchain.find("make").path), "-s", "-j2", "-C", str(folder), "-f", "Vtop.mk"),
            *_MAKE_OPTIONS,
            # Such a bench runs once: the compiler's time counts, not the program's.
            *("OPT_FAST=-O0", "OPT_SLOW=-O0", "OPT_GLOBAL=-O0"),
            "CFG_CXXFLAGS_COROUTINES=-std=c++20",
            f"PYTHON3={sys.executable}",
        ],
        f"the model of {top} does not compile",
    )
    return folder / _EXECUTABLE


def _run_tool(command: Sequence[str], what_fails: str) -> str:
    """Run a tool and return its standard output; its first error goes into the exception."""
    result = subprocess.run(command, env=_tool_environment(), capture_output=True, text=True)
    if result.returncode != 0:
        lines = [line.strip() for line in (result.stderr + result.stdout).splitlines()]
        errors = [line for line in lines if re.search(r"%Error|\berror\b|Error \d", line)]
        first = next(iter(errors or lines), f"exit status {result.returncode}")
        raise PlosiveError(f"{what_fails}: {first}")
    return result.stdout


def _tool_environment() -> dict[str, str]:
    # A VERILATOR_ROOT of another installation makes Verilator refuse to start, and MAKEFLAGS of a
    # `make` that runs us would reach the inner make.
    outer = ("VERILATOR_ROOT", "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "CXXFLAGS", "CPPFLAGS")
    return {name: value for name, value in os.environ.items() if name not in outer}


def lint(verilog: Path, top: str) -> list[str]:
    """Warnings of Verilator's strictest check (`--lint-only -Wall`) of a Verilog file.

    Parameters
    ----------
    verilog
        File of the Verilog.
    top
        Name of its top module.

    Returns
    -------
    list of str
        Each warning as "CODE: file:line:column: text"; empty if there is none.

    Raises
    ------
    ToolError
        Verilator or perl is missing.
    PlosiveError
        The Verilog has errors; the line holds the first.
    """
    _read(Path(verilog))
    toolchain.find("perl")
    command = [str(toolchain.find("verilator").path), "--lint-only", "-Wall", "-Wno-fatal"]
    result = subprocess.run(
        [*command, "--top-module", top, str(verilog)],
        env=_tool_environment(),
        capture_output=True,
        text=True,
    )
    errors = re.findall(r"^%Error[^:]*: (?:.*)$", result.stderr, re.MULTILINE)
    if result.returncode != 0:
        raise PlosiveError(f"Verilator refuses {top}: {(errors or [result.stderr.strip()])[0]}")
    warnings = re.findall(r"^%Warning-(\w+): (.*)$", result.stderr, re.MULTILINE)
    return [f"{code}: {text}" for code, text in warnings]

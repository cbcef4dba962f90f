# SPDX-License-Identifier: Apache-2.0
"""Area and power of a network's machine, measured in a process of its own beside other work.

They are left as `area.json` and `power.json` of the build folder, in the form that `plosive area`
and `plosive power` print with `--json`, for `plosive report`.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flows.asic.area import Size, area_figures
from flows.asic.pdk import find_pdk, is_installed
from flows.asic.power import check_power, power_figures
from flows.asic.synthesis import synthesize
from flows.figures import Figures, Hashes
from flows.progress import Progress, silent
from flows.tools import toolchain
from golden_model import Network
from golden_model.files.writing import atomic_write, make_directory
from hw.errors import PlosiveError

__all__ = [
    "AreaCost",
    "MachineCosts",
    "Measuring",
    "NotMeasured",
    "PowerCost",
    "beside",
    "main",
    "measure",
]

_PDK = "ihp-sg13g2"  # where it is not installed, gates are counted
_WARM_UP, _FRAMES = 10, 60  # frames of a power run before those that count, and these
_PATIENCE_S = 5


@dataclass(frozen=True, kw_only=True)
class NotMeasured(Figures):
    """Why there is no figure."""

    missing: str

    @property
    def line(self) -> str:
        """What the demo prints of it."""
        return f"not measured: {self.missing}"


@dataclass(frozen=True, kw_only=True)
class AreaCost(Figures):
    """What the machine occupies, see `flows.asic.area.AreaFigures`."""

    pdk: str
    total: Size
    memory_bits: int

    @property
    def line(self) -> str:
        """What the demo prints of it."""
        total = self.total
        if total.um2 is None:
            return f"{total.cells:,} generic gates and {self.memory_bits:,} bits of memory"
        return (
            f"{total.um2 / 1e6:.2f} mm2 in {self.pdk}: {total.logic_kge:.0f} kGE of logic and "
            f"{total.macros} SRAM macros, unrouted"
        )


@dataclass(frozen=True, kw_only=True)
class PowerCost(Figures):
    """Power in real time with the clock stopped between frames, and energy of a frame."""

    total_uw: float
    frame_nj: float

    @property
    def line(self) -> str:
        """What the demo prints of it."""
        return (
            f"{self.total_uw:.3g} uW in real time with the clock stopped between frames, "
            f"{self.frame_nj:.3g} nJ a frame, unrouted"
        )


@dataclass(frozen=True, kw_only=True)
class MachineCosts(Figures):
    """Area and power of a machine."""

    area: AreaCost | NotMeasured
    power: PowerCost | NotMeasured


def measure(network: Network, features: np.ndarray, build_dir: Path) -> MachineCosts:
    """Leave `area.json` and, where the process has energies and OpenSTA is there, `power.json`.

    Parameters
    ----------
    network
        What runs on the machine that its file names.
    features
        int8 [frames, n_input], of which the first 70 are run.
    build_dir
        Folder of netlists and results; earlier results go first.

    Returns
    -------
    MachineCosts
        The figures for a line of text each.

    Raises
    ------
    PlosiveError
        The synthesis fails.
    """
    for name in ("area", "power"):
        (build_dir / f"{name}.json").unlink(missing_ok=True)
    config = network.config
    hashes = Hashes.of(config)
    installed = is_installed(_PDK)
    netlist = synthesize(config, find_pdk(_PDK if installed else "generic"), build_dir=build_dir)
    area = area_figures(netlist, of=hashes)
    _keep(build_dir / "area.json", area)
    shown = AreaCost(pdk=area.pdk, total=area.total, memory_bits=area.memory_bits)
    if not installed:
        missing = NotMeasured(missing=f"the PDK {_PDK} is not installed")
        return MachineCosts(area=shown, power=missing)
    try:
        check_power(netlist.pdk)
        toolchain.find("sta")
        features = features[: _WARM_UP + _FRAMES]
        warm_up = min(_WARM_UP, len(features) // 2)
        power = power_figures(
            netlist, network, features, warm_up=warm_up, of=hashes, build_dir=build_dir
        )
    except PlosiveError as error:
        return MachineCosts(area=shown, power=NotMeasured(missing=str(error)))
    _keep(build_dir / "power.json", power)
    stopped, energy = power.real_time.clock_stopped, power.energy_per_frame_nj
    return MachineCosts(
        area=shown, power=PowerCost(total_uw=stopped.total_uw, frame_nj=energy.total)
    )


def _keep(path: Path, figures: Figures) -> None:
    atomic_write(path, json.dumps(figures.to_dict(), indent=1).encode() + b"\n")


class Measuring:
    """A process that measures."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def result(self, progress: Progress = silent) -> MachineCosts:
        """Wait for what `measure` returns; nothing is measured where it failed."""
        progress("measuring the machine's area and power")
        text, problem = self._process.communicate()
        if self._process.returncode != 0:
            reason = (problem.strip().splitlines() or ["it broke off"])[-1]
            failed = NotMeasured(missing=reason)
            return MachineCosts(area=failed, power=failed)
        return MachineCosts.from_dict(json.loads(text))


@contextmanager
def beside(
    network_file: str | os.PathLike[str], features: np.ndarray, build_dir: Path
) -> Iterator[Measuring]:
    """`measure` in a process that starts with the block, and at the latest ends with it."""
    make_directory(build_dir)
    with tempfile.TemporaryDirectory(prefix="plosive-costs-") as folder:
        path = Path(folder, "features.npy")
        np.save(path, features)
        arguments = [str(network_file), str(path), str(build_dir)]
        with subprocess.Popen(
            [sys.executable, "-m", "flows.asic.machine_costs", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a group of its own, with all that it starts
        ) as process:
            try:
                yield Measuring(process)
            finally:
                # Interrupted, it removes what it has half written.
                for number in (signal.SIGINT, signal.SIGKILL):
                    if process.poll() is None:
                        os.killpg(process.pid, number)
                        with suppress(subprocess.TimeoutExpired):
                            process.wait(_PATIENCE_S)


def main() -> int:
    """Print what `measure` finds, for the process that `beside` starts."""
    network, features, build_dir = sys.argv[1:]
    try:
        found = measure(Network.load(network), np.load(features), Path(build_dir))
    except PlosiveError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(json.dumps(found.to_dict()))
    return 0


if __name__ == "__main__":
    sys.exit(main())

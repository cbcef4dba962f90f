# SPDX-License-Identifier: Apache-2.0
"""A configuration, and perhaps a network, into a folder of Verilog and what belongs to it."""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.progress import Progress, silent
from flows.verilog import interface, testbench
from flows.verilog.contents import contents, parameter_word
from flows.verilog.writer import TOP, to_verilog
from golden_model import Network
from golden_model.files.reading import InputError, read_json
from golden_model.files.writing import atomic_directory
from hw.config import AcceleratorConfig
from hw.core.core import Contents, Core
from hw.errors import PlosiveError
from hw.shell.ip_top import AXI_TOP, IPTop
from hw.shell.shell import most_best

__all__ = ["DRIVER", "Generated", "generate"]

_GENERATOR = "plosive generate"
_DESCRIPTION = "plosive.json"
DRIVER = Path(__file__).parents[1] / "host" / "c"
"""Folder of the C driver, which goes with the AXI top."""


@dataclass(frozen=True)
class Generated:
    """What was written.

    Attributes
    ----------
    folder
        The output folder.
    files
        Names of its files, sorted.
    description
        The content of `plosive.json`.
    """

    folder: Path
    files: list[str]
    description: dict[str, Any]


def generate(
    config: AcceleratorConfig,
    folder: str | os.PathLike[str],
    *,
    top: str = "core",
    network: Network | None = None,
    bake: bool = False,
    best: int = 0,
    bench: bool = False,
    progress: Progress = silent,
) -> Generated:
    """Write `plosive.v`, `plosive.json` and the files that belong to them, all or nothing.

    The same configuration and network give the same bytes on every run.

    Parameters
    ----------
    config
        The hardware.
    folder
        Made if missing. It may be empty or hold the output of an earlier run, which is replaced.
    top
        "core", or "axi": the IP top with registers and AXI streams, which is `plosive_axi.v` and
        comes with the C driver.
    network
        Initial contents of memories, thresholds and parameters; also written as `.hex` files
        unless baked.
    bake
        Make the network constants; the weight port goes.
    best
        Entries of the AXI top's best-N list; 0: none is built.
    bench
        Also write a self-checking Verilog bench with stimulus and expected outputs, of the core.
    progress
        Told what is being done.

    Raises
    ------
    PlosiveError
        The folder holds other files or cannot be written, `bake` without a network, `bench` or
        `best` with a top that has none, or `best` out of range.
    NetworkError
        The network is for other shapes or formats than the hardware.
    """
    folder = Path(folder)
    if bake and network is None:
        raise PlosiveError("--bake needs a network: its weights become constants; give --network")
    if bench and top != "core":
        raise PlosiveError(f"--testbench is for --top core, not {top}: its bench drives the core")
    if best and top == "core":
        raise PlosiveError(f"--best {best} is for --top axi: the core gives logits only")
    if best > most_best(config):
        raise PlosiveError(f"--best is {best}: it must be 0 to {most_best(config)}")
    _check_folder(folder)
    held = contents(config, network) if network is not None else None
    progress("generating the Verilog")
    if top == "axi":
        made, name = IPTop(config, held, bake=bake, best=best), AXI_TOP
    else:
        made, name = Core(config, held, bake=bake), TOP
    files = {f"{name}.v": to_verilog(made, name).encode()}
    if top == "axi":
        files |= {path.name: path.read_bytes() for path in DRIVER.glob("*.[ch]")}
    if held is not None and not bake:
        files |= _memory_files(config, held)
    if bench:
        progress("computing the bench's expected outputs")
        files |= testbench.files(config, network, preloaded=network is not None, bake=bake)
    description = {
        "generator": _GENERATOR,
        **interface.describe(made),
        "network": _describe_network(network, held, bake),
        "sha256": {name: hashlib.sha256(files[name]).hexdigest() for name in sorted(files)},
    }
    files[_DESCRIPTION] = (json.dumps(description, indent=1) + "\n").encode()
    progress("writing files")
    with atomic_directory(folder) as work:
        for name, content in files.items():
            (work / name).write_bytes(content)
    return Generated(folder, sorted(files), description)


def _check_folder(folder: Path) -> None:
    """Refuse a folder that holds anything but the output of an earlier run."""
    try:
        present = set(os.listdir(folder))
    except FileNotFoundError:
        return
    except NotADirectoryError:
        obstacle = next(p for p in (folder, *folder.parents) if p.exists() and not p.is_dir())
        what = "it exists and" if obstacle == folder else obstacle
        raise PlosiveError(f"cannot write {folder}: {what} is not a folder") from None
    except OSError as error:
        raise PlosiveError(f"cannot write {folder}: {error.strerror}") from error
    if folder.resolve() == Path.cwd():
        raise PlosiveError(f"cannot write {folder}: it is the current folder; name another one")
    foreign = present - _own_files(folder)
    if foreign:
        raise PlosiveError(
            f"cannot write {folder}: it holds {min(foreign)!r}, which this command did not make; "
            "name a new folder"
        )


def _own_files(folder: Path) -> set[str]:
    """Files of an earlier run, as its description lists them."""
    try:
        description = read_json(folder / _DESCRIPTION)
        if description["generator"] == _GENERATOR:
            return {_DESCRIPTION, *description["sha256"]}
    except (InputError, KeyError, TypeError):
        pass
    return set()


def _memory_files(config: AcceleratorConfig, held: Contents) -> dict[str, bytes]:
    """Initialisation for $readmemh: one file a memory bank, thresholds and parameters."""
    files = {
        f"memory_{name}.hex": _hex_lines(held.rows[memory][bank], config.row_bits)
        for name, memory, bank in interface.memory_names(config)
    }
    bits = config.membrane_bits - 1
    rows = [sum(value << bits * lane for lane, value in enumerate(row)) for row in held.thresholds]
    files["thresholds.hex"] = _hex_lines(rows, bits * config.lanes)
    words = [parameter_word(config, layer) for layer in held.parameters]
    files["parameters.hex"] = _hex_lines(words, 32)
    return files


def _hex_lines(values: list[int], bits: int) -> bytes:
    """One value a line, as $readmemh takes them."""
    digits = -(-bits // 4)
    return "".join(f"{value:0{digits}x}\n" for value in values).encode()


def _describe_network(
    network: Network | None, held: Contents | None, bake: bool
) -> dict[str, Any] | None:
    if network is None or held is None:
        return None
    parameters = [vars(layer) for layer in held.parameters]
    text = json.dumps([held.rows, held.thresholds, parameters], sort_keys=True, default=list)
    about = {key: network.header[key] for key in ("licence", "provenance") if key in network.header}
    return {"baked": bake, "contents_sha256": hashlib.sha256(text.encode()).hexdigest(), **about}

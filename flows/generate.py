# SPDX-License-Identifier: Apache-2.0
"""A configuration, and perhaps a network, into a folder of Verilog and what belongs to it."""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows import interface, testbench
from flows.contents import contents, parameter_word
from flows.errors import PlosiveError, atomic_directory
from flows.progress import Progress, silent
from golden_model import Network
from hw.config import AcceleratorConfig
from hw.core import Contents, Core
from hw.verilog import to_verilog

__all__ = ["Generated", "generate"]

_GENERATOR = "plosive generate"
_DESCRIPTION = "plosive.json"
_VERILOG = "plosive.v"


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
    network: Network | None = None,
    bake: bool = False,
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
    network
        Initial contents of memories, thresholds and parameters; also written as `.hex` files
        unless baked.
    bake
        Make the network constants; the weight port goes.
    bench
        Also write a self-checking Verilog bench with stimulus and expected outputs.
    progress
        Told what is being done.

    Raises
    ------
    PlosiveError
        The folder holds other files or cannot be written, or `bake` without a network.
    NetworkError
        The network is for other shapes or formats than the hardware.
    """
    folder = Path(folder)
    if bake and network is None:
        raise PlosiveError("--bake needs a network: its weights become constants; give --network")
    _check_folder(folder)
    held = contents(config, network) if network is not None else None
    progress("generating the Verilog")
    core = Core(config, held, bake=bake)
    files = {_VERILOG: to_verilog(core).encode()}
    if held is not None and not bake:
        files |= _memory_files(config, held)
    if bench:
        progress("computing the bench's expected outputs")
        files |= testbench.files(config, network, preloaded=network is not None, bake=bake)
    description = {
        "generator": _GENERATOR,
        **interface.describe(config, core),
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
        description = json.loads((folder / _DESCRIPTION).read_text())
        if description["generator"] == _GENERATOR:
            return {_DESCRIPTION, *description["sha256"]}
    except (OSError, ValueError, KeyError, TypeError):
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

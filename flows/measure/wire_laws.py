# SPDX-License-Identifier: Apache-2.0
"""Fitting the laws of `--wires fitted` to trial placements.

    python -m flows.measure.wire_laws tiny speech speech:lanes=32

Every machine, a preset with changes, is placed; the last is left out of the fit. What is printed
goes into `LAWS` of `flows/asic/layout/fitted.py`.
"""

import argparse
import sys
from pathlib import Path

from flows.asic.layout.fitted import fit_laws, placed_lengths
from flows.asic.layout.layout import place_netlist
from flows.asic.pdk import find_pdk
from flows.asic.synthesis import synthesize
from flows.inputs import configuration

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Place machines, fit, and print the laws."""
    parser = argparse.ArgumentParser(description="Fit lengths of wires to trial placements.")
    parser.add_argument("machines", nargs="+", help="PRESET or PRESET:FIELD=VALUE,...")
    parser.add_argument("--build", type=Path, default=Path("build"), help="default: build")
    given = parser.parse_args(arguments)
    if len(set(given.machines)) < 3:
        parser.error("give three machines or more: two to fit both exponents to, one to check")
    pdk = find_pdk("ihp-sg13g2")
    placements = {}
    for machine in given.machines:
        name, _, changes = machine.partition(":")
        config = configuration(name, None, list(filter(None, changes.split(","))))
        netlist = synthesize(config, pdk, build_dir=given.build)
        placements[machine] = placed_lengths(place_netlist(netlist, build_dir=given.build))
    print(fit_laws(placements, given.machines[-1]))
    return 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""The child process in which coloquinte places: it prints at will and does not heed Ctrl-C.

Run as a script with the files of `flows.asic.layout.placement`, given and result, both `.npz`.
"""

import sys

import coloquinte
import numpy as np


def _main(given: str, result: str) -> None:
    held = np.load(given)
    circuit = coloquinte.Circuit(len(held["width"]))
    circuit.cell_width = held["width"].tolist()
    circuit.cell_height = held["height"].tolist()
    fixed = held["fixed"].astype(bool).tolist()
    circuit.cell_is_fixed = fixed
    # Nothing fixed stands in the rows.
    circuit.cell_is_obstruction = [not one for one in fixed]
    circuit.cell_row_polarity = [coloquinte.CellRowPolarity.SAME] * len(fixed)
    circuit.cell_x = held["x"].tolist()
    circuit.cell_y = held["y"].tolist()
    cells, x, y = (held[name].tolist() for name in ("pin_cell", "pin_x", "pin_y"))
    ends = held["net_end"].tolist()
    for start, end in zip([0, *ends], ends, strict=False):
        circuit.add_net(cells[start:end], x[start:end], y[start:end])
    left, sites, bottom, rows, row = held["core"].tolist()
    orientations = (coloquinte.CellOrientation.N, coloquinte.CellOrientation.FS)
    circuit.rows = [
        coloquinte.Row(
            coloquinte.Rectangle(left, left + sites, low, low + row), orientations[index % 2]
        )
        for index, low in enumerate(range(bottom, bottom + rows * row, row))
    ]
    circuit.check()
    effort, seed = held["effort"].tolist()
    parameters = coloquinte.ColoquinteParameters(effort, seed)
    if held["whole"]:
        circuit.expand_cells_to_density(float(held["density"]), 0.0)
        circuit.place_global(parameters)
    circuit.legalize(parameters)
    circuit.place_detailed(parameters)
    np.savez(
        result,
        x=np.array(circuit.cell_x),
        y=np.array(circuit.cell_y),
        flipped=np.array([int(one) == int(orientations[1]) for one in circuit.cell_orientation]),
    )


if __name__ == "__main__":
    _main(*sys.argv[1:])

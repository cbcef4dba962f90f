# SPDX-License-Identifier: Apache-2.0
"""A picture of the placement: cells in the colours of their blocks, macros, and a legend."""

import io
from pathlib import Path

from PIL import Image, ImageDraw

from flows.asic.layout.nets import Circuit
from flows.asic.layout.placement import Placement
from golden_model.files.writing import atomic_write

__all__ = ["block_of", "draw_placement"]

# Okabe and Ito's colours, which colour-blind readers tell apart; then lighter ones.
_COLOURS = (
    *("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#f0e442"),
    *("#999999", "#7fb8d9", "#f2cf80", "#80cfb9", "#e6bcd3", "#eaaf80", "#444444", "#b3b300"),
)
_WIDE, _LINE = 1400, 22


def block_of(path: str) -> str:
    """The block that an instance is in, as `plosive area` names it; "own" for the top's own."""
    first, inside, _ = path.partition("/")
    return first.partition("$")[0] if inside else "own"


def draw_placement(placement: Placement, path: Path) -> None:
    """Write a PNG: 1400 pixels wide, north up."""
    plan, circuit = placement.floorplan, placement.circuit
    scale = (_WIDE - 1) / plan.width
    high = round(plan.height * scale) + 1
    blocks = _blocks(circuit)
    image = Image.new("RGB", (_WIDE, high + _LINE * (len(blocks) // 4 + 1) + 8), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, _WIDE - 1, high - 1), outline="black")

    def box(left: float, bottom: float, width: float, height: float) -> tuple[float, ...]:
        top = high - 1 - (bottom + height) * scale
        return (left * scale, top, (left + width) * scale, high - 1 - bottom * scale)

    rows = (plan.sites * plan.site.width, plan.rows * plan.site.height)
    draw.rectangle(box(plan.left, plan.bottom, *rows), fill="#eeeeee")
    for index, outline in enumerate(circuit.outlines):
        left, bottom = float(placement.left[index]), float(placement.bottom[index])
        colour = blocks[block_of(circuit.gates.instances[index].path)]
        place = box(left, bottom, outline.width, outline.height)
        if outline.kind == "BLOCK":
            draw.rectangle(place, fill="#d9d9d9", outline=colour, width=3)
            name = circuit.gates.instances[index].module.removeprefix("plosive_")
            draw.text((place[0] + 6, (place[1] + place[3]) / 2 - 6), name, fill="black")
        else:
            draw.rectangle(place, fill=colour)
    for number, (block, colour) in enumerate(blocks.items()):
        x, y = 8 + number % 4 * (_WIDE // 4), high + 6 + number // 4 * _LINE
        draw.rectangle((x, y, x + 12, y + 12), fill=colour)
        draw.text((x + 18, y), block, fill="black")
    data = io.BytesIO()
    image.save(data, "PNG", optimize=True)
    atomic_write(path, data.getvalue())


def _blocks(circuit: Circuit) -> dict[str, str]:
    """Colour of each block, the one with the most cells first."""
    areas: dict[str, float] = {}
    for one, outline in zip(circuit.gates.instances, circuit.outlines, strict=True):
        block = block_of(one.path)
        own = outline.width * outline.height if outline.kind != "BLOCK" else 0.0
        areas[block] = areas.get(block, 0.0) + own
    ordered = sorted(areas, key=lambda block: (-areas[block], block))
    return {block: _COLOURS[n % len(_COLOURS)] for n, block in enumerate(ordered)}

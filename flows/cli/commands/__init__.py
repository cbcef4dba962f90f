# SPDX-License-Identifier: Apache-2.0
"""The commands of `plosive`, one module each.

A module holds the command's function, which has the module's name, with the options and tables
that only it uses. Whatever takes long to import is imported inside functions, so that `--help`
is quick.
"""

HELP_ORDER = (
    *("generate", "simulate", "cycles", "area", "registers", "timing", "power", "fpga"),
    *("transcribe", "demo", "report", "export", "evaluate", "train", "networks"),
)
"""Order of the commands in `plosive --help`: hardware first, then speech and networks."""

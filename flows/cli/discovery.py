# SPDX-License-Identifier: Apache-2.0
"""Finding commands: each module of a package of commands is one command."""

import importlib
import pkgutil
from types import ModuleType

import typer

__all__ = ["add_commands"]


def add_commands(group: typer.Typer, package: ModuleType) -> None:
    """Add the commands of a package to a group.

    A command is a module, and in it the function of the same name. The help lists commands in the
    order of the package's `HELP_ORDER`; any that it does not name follow alphabetically.
    """
    order = {name: place for place, name in enumerate(package.HELP_ORDER)}
    names = (module.name for module in pkgutil.iter_modules(package.__path__))
    for name in sorted(names, key=lambda name: (order.get(name, len(order)), name)):
        module = importlib.import_module(f"{package.__name__}.{name}")
        group.command(name)(getattr(module, name))

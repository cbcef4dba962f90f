# SPDX-License-Identifier: Apache-2.0
"""The PDKs of the tests: a test that needs one skips, saying what to install, without it."""

import pytest

from flows.asic.pdk import Pdk, find_pdk
from flows.tools.toolchain import ToolError

__all__ = ["pdk_or_skip"]


def pdk_or_skip(name: str) -> Pdk:
    """A process, if its files are here (`--pdk-root` of the tests is the variable PDK_ROOT)."""
    try:
        return find_pdk(name)
    except ToolError as error:
        pytest.skip(str(error))

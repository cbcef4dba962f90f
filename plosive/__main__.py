# SPDX-License-Identifier: Apache-2.0
"""`python -m plosive`: the same as `plosive`."""

from flows.cli.app import main

main()

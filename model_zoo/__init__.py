# SPDX-License-Identifier: Apache-2.0
"""Training, scoring and export of the networks that Plosive's accelerators run.

`audio`, `features`, `phones` and `decode` need no torch: they are what a host does with a trained
network. The other modules train one. Import the module you need; the package itself imports
nothing.
"""

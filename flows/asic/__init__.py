# SPDX-License-Identifier: Apache-2.0
"""The accelerator in an open process: PDK, synthesis, area, timing, power, gate level."""

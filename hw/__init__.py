# SPDX-License-Identifier: Apache-2.0
"""The accelerator in Amaranth HDL. `config` and `schedule` are plain Python and import no HDL."""

# SPDX-License-Identifier: Apache-2.0
"""What connects a core to a host: registers, AXI, the serial line, and the board's pins."""

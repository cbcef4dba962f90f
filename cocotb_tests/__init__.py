# SPDX-License-Identifier: Apache-2.0
"""The test benches (`bench_*`, run inside the simulator) and the pytest files that run them."""

# SPDX-License-Identifier: Apache-2.0
"""What the project costs and how fast it is: measurements, baselines, benchmarks, results."""

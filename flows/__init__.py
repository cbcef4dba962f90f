# SPDX-License-Identifier: Apache-2.0
"""The command line, and what it runs: an importable API over the tools and the other packages."""

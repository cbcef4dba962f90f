# SPDX-License-Identifier: Apache-2.0
"""The demo's run as one HTML page."""

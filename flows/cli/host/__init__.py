# SPDX-License-Identifier: Apache-2.0
"""`plosive host`: the commands that talk to a board."""

# SPDX-License-Identifier: Apache-2.0
"""Files of networks and all others: read with care, written whole, text escaped for each language.

They stand this low because everything above writes files: networks, training, flows.
"""

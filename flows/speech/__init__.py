# SPDX-License-Identifier: Apache-2.0
"""From recordings to figures: transcribe, evaluate, train, export, and the demo."""

# SPDX-License-Identifier: Apache-2.0
"""Speech without torch: audio, features, phones and alignment."""

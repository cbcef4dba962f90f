# SPDX-License-Identifier: Apache-2.0
"""Training in torch: recipes, materials, networks, stages, fitting."""

"""Penalties Ω(δ) of a displacement δ = w − reference; they see tensors and nothing else."""

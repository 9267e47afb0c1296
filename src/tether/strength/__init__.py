"""Strength: choosing λ."""

"""Proof that each pull of a tether is delivered: one real step measured, and everything put back."""

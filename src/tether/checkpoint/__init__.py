"""Checkpoints: where source parameters come from, and what is known of them."""

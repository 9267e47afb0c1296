"""Curvature: how the loss of a model changes around its weights."""

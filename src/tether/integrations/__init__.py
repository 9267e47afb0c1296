"""Callbacks that hold the models of other trainers."""

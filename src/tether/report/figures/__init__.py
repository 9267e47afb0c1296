"""Figures: one a file, each drawn by Matplotlib as SVG that stands in the page."""

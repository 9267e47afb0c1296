"""Labelled pictures: where they lie, how they are split, decoded and augmented."""

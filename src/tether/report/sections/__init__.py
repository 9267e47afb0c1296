"""Sections: what a report says, a function a heading."""

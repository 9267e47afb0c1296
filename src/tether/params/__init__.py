"""Named parameters of a model: which ones, and sums over them."""

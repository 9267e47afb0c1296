"""A study: one spec under many plans and seeds, and what the differences are worth."""

"""The article's question on real digits, in under a minute."""

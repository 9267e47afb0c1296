"""From a source checkpoint to a target model: what fits, what is new, and why."""

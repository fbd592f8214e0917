"""Why pods get no address: root causes with their evidence, what was ruled out, whom it hits, how it came to this."""

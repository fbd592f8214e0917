"""Policy as code: one rule a file, and the pack that gathers them."""

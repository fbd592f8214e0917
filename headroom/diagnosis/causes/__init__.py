"""One module a cause. Each has `judge(reading)`, which says what speaks for it, what excludes it and what is missing."""

"""One module a cause: its `judge(reading)` says what speaks for it, what excludes it and what is missing."""

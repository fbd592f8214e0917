"""The snapshot of a cluster as frozen types: every value is known, absent, or unknown with a reason."""

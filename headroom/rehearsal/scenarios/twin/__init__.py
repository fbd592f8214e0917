"""The twin: somebody's own cluster, rebuilt from its snapshot, so that the fix is proven on a copy first."""

"""From a diagnosis to the smallest sufficient change: a stack file for review, and how to tell that it worked."""

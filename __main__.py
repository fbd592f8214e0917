"""The Pulumi program: `headroom:remedy` in the stack's file chooses what it does."""

import gc

from stacks import deploy

# What a provider's SDK brings (here 1,700 classes of AWS) stays until the end. Looking for garbage in it again
# and again while it loads, and once more at the exit, is a tenth of a whole preview.
gc.disable()
try:
    deploy()
finally:
    gc.freeze()
    gc.enable()

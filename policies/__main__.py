"""The policy pack: `pulumi preview --policy-pack policies`. Every rule is mandatory unless its configuration says."""

from policies.server import serve

serve()

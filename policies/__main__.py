"""The policy pack: `pulumi preview --policy-pack policies`. Every rule is mandatory unless its configuration says."""

from policies.analyzer import serve
from policies.pack import RULES

serve(RULES)

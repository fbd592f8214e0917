"""Texts that other programs wrote (events, conditions, log lines), without what may be a secret in them."""

import re

LONGEST = 4_000
"""Characters of one text that are kept; the longest of the CNI's and the kubelet's messages have some hundreds."""

HIDDEN = "[left out]"

_SECRETS = re.compile(
    r"""
      (?P<keep_1>\bauthorization\ failure\ message:\ ?) [\w+/=-]{16,}  # EC2's encoded message: names policies
    | (?P<keep_2>\b(?:bearer|basic)\s+) [\w.~+/=-]{8,}                 # HTTP's Authorization header
    | (?P<keep_3>://) [^/\s:@]+:[^/\s@]+ (?=@)                         # user and password in an address
    | (?P<keep_4>[?&]X-Amz-(?:Signature|Security-Token|Credential)=) [^&\s"']+
    | (?P<keep_5>(?<![a-z0-9])(?:password|passwd|secret|token|api_?key|access_key|session_token)
        (?:\s*=\s*["']?|["']\s*:\s*["'])) [^\s"',;}&]{4,}                # a field of a configuration
    | \b(?:AKIA|ASIA)[0-9A-Z]{16}\b                                    # an access key id
    | \beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*                                # a JSON web token
    """,
    re.VERBOSE | re.IGNORECASE,
)


def redacted(text: str) -> str:
    """The text, with keys, tokens, passwords and EC2's encoded messages left out, and cut where it is too long."""
    if len(text) > LONGEST:
        text = f"{text[:LONGEST]}…"
    return _SECRETS.sub(lambda found: "".join(filter(None, found.groups())) + HIDDEN, text)

"""Texts of events and logs, without what may be a secret in them."""

import pytest

from headroom.collect.redaction import HIDDEN, LONGEST, redacted


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("key AKIAIOSFODNN7EXAMPLE is used", f"key {HIDDEN} is used"),
        ("Authorization: Bearer abc.def-ghi/jkl=", f"Authorization: Bearer {HIDDEN}"),
        ("pull https://user:pass@registry.example/app failed", f"pull https://{HIDDEN}@registry.example/app failed"),
        (
            "https://x.s3.amazonaws.com/l?X-Amz-Signature=0a1b&v=2",
            f"https://x.s3.amazonaws.com/l?X-Amz-Signature={HIDDEN}&v=2",
        ),
        ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG", f"aws_secret_access_key = {HIDDEN}"),
        ('env {"DB_PASSWORD": "hunter22"}', f'env {{"DB_PASSWORD": "{HIDDEN}"}}'),
        ("AWS_SESSION_TOKEN=IQoJb3JpZ2lu//x", f"AWS_SESSION_TOKEN={HIDDEN}"),
        (
            "UnauthorizedOperation. Encoded authorization failure message: pZ9abcdefghijklmnopq",
            f"UnauthorizedOperation. Encoded authorization failure message: {HIDDEN}",
        ),
        ("token eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln", f"token {HIDDEN}"),
    ],
)
def test_what_may_be_a_secret_is_left_out(text: str, kept: str) -> None:
    assert redacted(text) == kept


@pytest.mark.parametrize(
    "text",
    [
        'plugin type="aws-cni" name="aws-cni" failed (add): add cmd: failed to assign an IP address to container',
        "InvalidIdentityToken: No OpenIDConnect provider found in your account",
        "Unauthorized operation: failed to call ec2:CreateNetworkInterface due to missing permissions.",
        'Failed to pull image "registry.example/team/app:1.2": not found',
        "secret: not found",
        "0/3 nodes are available: 3 Insufficient cpu.",
    ],
)
def test_what_a_diagnosis_reads_stays(text: str) -> None:
    assert redacted(text) == text


def test_a_text_without_end_is_cut() -> None:
    assert redacted("x" * (LONGEST + 5)) == "x" * LONGEST + "…"

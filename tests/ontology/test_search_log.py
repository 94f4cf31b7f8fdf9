"""What is kept of a query: its words, never a secret."""

import pytest

from ontology.key_secrets import make_secret
from ontology.search_log import QUERY_LENGTH_MAX, clean_query


@pytest.mark.parametrize(
    "secret",
    [
        make_secret("k7m2x9q4ra").text,
        "sk_live_51H8abcdefghijklmnop",
        "ghp_abcdefghijklmnopqrstuvwxyz012345",
        "AKIAIOSFODNN7EXAMPLE",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    ],
)
def test_a_secret_is_not_kept(secret: str) -> None:
    kept = clean_query(f"why is {secret} refused")
    assert secret[8:] not in kept
    assert kept.startswith("why is ") and kept.endswith(" refused")


def test_what_follows_the_name_of_a_secret_is_not_kept() -> None:
    assert clean_query("Authorization: Bearer abc.def-123 fails") == "Authorization: Bearer *** fails"
    assert clean_query("password: hunter22 and token=0123456789") == "password: *** and token=***"
    assert clean_query("how do I reset a password") == "how do I reset a password"
    assert clean_query("bearer token refused") == "bearer token refused"


def test_a_query_is_kept_on_one_line_and_short() -> None:
    assert clean_query("  two\n\tlines\x00 ") == "two lines"
    assert len(clean_query("x y" * 10_000)) == QUERY_LENGTH_MAX

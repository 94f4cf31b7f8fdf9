"""Which passwords are refused."""

import pytest

from ontology.passwords import find_weakness, make_password

EMAIL = "ines.duarte@example.com"


@pytest.mark.parametrize(
    "password",
    [
        *("1234567890", "0987654321", "12345678910", "qwertyuiop", "qwerty12345", "1q2w3e4r5t", "abcdefghij"),
        *("password12", "Passw0rd123!", "P@ssw0rd2026", "welcome2024!", "1111111111", "1212121212", "iloveyou99"),
        *("ines.duarte", "INES.DUARTE1", "ines.duarte@example.com", "short", "x1" * 101),
    ],
)
def test_what_is_guessed_first_is_refused(password: str) -> None:
    assert find_weakness(password, EMAIL)


@pytest.mark.parametrize(
    "password",
    ["correct horse battery", "8675309421", "lamp under the oak", "vB7#pQ2!xT", "duarte likes moss", "q1234xyz99"],
)
def test_what_is_not_is_taken(password: str) -> None:
    assert not find_weakness(password, EMAIL)
    assert not find_weakness(password, "1@example.com")


def test_made_passwords_are_good_and_never_the_same() -> None:
    made = {make_password() for _ in range(50)}
    assert len(made) == 50
    assert not any(find_weakness(password, EMAIL) for password in made)

"""Passwords: which are good enough, and the one form in which they are kept."""

import asyncio
import secrets
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

PASSWORD_LENGTH_MIN, PASSWORD_LENGTH_MAX = 10, 200
# 19 MiB and two passes (OWASP); two threads, so that a flood of sign-ins takes neither the memory nor the event loop.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
_POOL = ThreadPoolExecutor(max_workers=2, thread_name_prefix="password")
_DUMMY_HASH = _HASHER.hash("no account has this password")
# Small letters and digits without those that are read for one another: five bits each.
_LETTERS = "abcdefghjkmnpqrstuvwxyz023456789"
_GROUPS, _GROUP_LENGTH = 5, 4

# What lists of leaked passwords have most of at ten characters and more is one of these words with something around it,
# a run along the keyboard, or few characters repeated.
_COMMON = """
    abc abcd abcdef admin administrator asdf baseball basketball changeme chocolate computer
    correcthorsebatterystaple dragon football google hello iloveyou internet letmein liverpool login manchester
    master michael monkey password passwordpassword passwort princess qazwsx qwerty qwertyuiop qwertz samsung secret
    starwars summer sunshine superman test trustno welcome whatever winter zxcvbnm
"""
_COMMON_WORDS = frozenset(_COMMON.split())
_RUNS = ("01234567890", "qwertyuiop", "qwertzuiop", "azertyuiop", "asdfghjkl", "zxcvbnm", "abcdefghijklmnopqrstuvwxyz")
_PATTERNS = ("1q2w3e4r5t6y7u8i9o0p", "q1w2e3r4t5y6u7i8o9p0", "1qaz2wsx3edc4rfv5tgb", "qazwsxedcrfvtgb")
_LEET = str.maketrans("0134578@$!", "oieastbasi")
_CHARACTERS_MIN = 4


def find_weakness(password: str, email: str) -> str:
    """What is wrong with a password that somebody chooses, as a sentence for them; empty when nothing is."""
    if not PASSWORD_LENGTH_MIN <= len(password) <= PASSWORD_LENGTH_MAX:
        return f"Choose a password of {PASSWORD_LENGTH_MIN} to {PASSWORD_LENGTH_MAX} characters."
    plain = password.lower()
    if _is_common(plain):
        return "This password is among the first that are tried. Choose one that nobody would guess."
    address = email.strip().lower()
    name, _, _ = address.partition("@")
    if plain in (name, address) or (_strip(plain) and _strip(plain) == _strip(name)):
        return "This password is your e-mail address's own name. Choose one that nobody would guess."
    return ""


def make_password() -> str:
    """A random password of 100 bits in groups that can be read out."""
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(_GROUP_LENGTH)) for _ in range(_GROUPS))


async def hash_password(password: str) -> str:
    return await asyncio.get_running_loop().run_in_executor(_POOL, _HASHER.hash, password)


async def matches_hash(password: str, stored: str | None) -> bool:
    """Whether the password is the one kept; takes as long when none is."""
    matches = await asyncio.get_running_loop().run_in_executor(_POOL, _matches, stored or _DUMMY_HASH, password)
    return matches and stored is not None


def _matches(stored: str, password: str) -> bool:
    try:
        return _HASHER.verify(stored, password)
    except (VerifyMismatchError, InvalidHashError):
        return False


def _is_common(plain: str) -> bool:
    if len(set(plain)) < _CHARACTERS_MIN or _is_run(plain):
        return True
    stem = _strip(plain)
    return bool({stem, stem.translate(_LEET), _strip(plain.translate(_LEET))} & _COMMON_WORDS)


def _is_run(plain: str) -> bool:
    """Along the keyboard or the alphabet, forwards or backwards, the pieces of a run one after another included."""
    runs = [direction for run in (*_RUNS, *_PATTERNS) for direction in (run, run[::-1])]
    rest = plain
    while rest:
        longest = max((_count_shared(rest, run) for run in runs), default=0)
        if longest < _CHARACTERS_MIN:
            return len(rest) < _CHARACTERS_MIN and rest != plain
        rest = rest[longest:]
    return True


def _count_shared(text: str, run: str) -> int:
    """How many characters `text` begins with that stand in this order in `run`."""
    start = run.find(text[0])
    length = 0
    while start >= 0 and start + length < len(run) and length < len(text) and text[length] == run[start + length]:
        length += 1
    return length


def _strip(text: str) -> str:
    """Without the digits and marks around it."""
    return text.strip("".join({character for character in text if not character.isalpha()}))

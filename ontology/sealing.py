"""Sealing: what the database keeps for a while and nobody may read there, such as an answer that shows a key once."""

import hashlib
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12


class SealBroken(Exception):
    """Sealed under another secret or for another purpose, or changed since."""


def seal(secret: str, purpose: str, plain: bytes) -> bytes:
    """Encrypt and sign (AES-256-GCM, NIST SP 800-38D); `purpose` names the one place it may be opened in."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(_derive(secret)).encrypt(nonce, plain, purpose.encode())


def unseal(secret: str, purpose: str, sealed: bytes) -> bytes:
    """Raises: SealBroken."""
    try:
        return AESGCM(_derive(secret)).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], purpose.encode())
    except (InvalidTag, ValueError):
        raise SealBroken from None


def _derive(secret: str) -> bytes:
    """The secret signs cursors and forms too; sealing has a key of its own."""
    return hashlib.sha256(f"sealing|{secret}".encode()).digest()

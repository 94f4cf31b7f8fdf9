"""Signatures of GitHub's secret scanning: ECDSA on P-256 with SHA-256 over the raw body.

https://docs.github.com/en/code-security/secret-scanning/secret-scanning-partner-program. The public keys are those of
https://api.github.com/meta/public_keys/secret_scanning, kept in a file that the setting GITHUB_PUBLIC_KEYS names.
"""

import base64
import binascii
import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from ontology.errors import InvalidSignature, ServiceUnavailable

Verify = Callable[[bytes, bytes, str], bool]


def check_signature(body: bytes, key_id: str | None, signature: str | None, keys: Path | None) -> None:
    """Refuse unless the body was signed by the named key.

    Raises:
        InvalidSignature: no signature, an unknown key, or another body.
        ServiceUnavailable: the package `cryptography` is not installed, so no signature can be checked.
    """
    if not key_id or not signature or (pem := read_public_keys(keys).get(key_id)) is None:
        raise InvalidSignature
    try:
        given = base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidSignature from None
    if not load_verify()(body, given, pem):
        raise InvalidSignature


def read_public_keys(keys: Path | None) -> dict[str, str]:
    """Keys in PEM form by identifier, those no longer current included: an alert may have been signed before."""
    if keys is None or not keys.is_file():
        return {}
    listed: Any = json.loads(keys.read_text(encoding="utf-8"))["public_keys"]
    return {str(entry["key_identifier"]): str(entry["key"]) for entry in listed}


def load_verify() -> Verify:
    """The check itself, by the package `cryptography`; without it nothing is believed.

    Raises:
        ServiceUnavailable: it is not installed.
    """
    try:
        elliptic: Any = import_module("cryptography.hazmat.primitives.asymmetric.ec")
        hashes: Any = import_module("cryptography.hazmat.primitives.hashes")
        serialization: Any = import_module("cryptography.hazmat.primitives.serialization")
        invalid: type[Exception] = import_module("cryptography.exceptions").InvalidSignature
    except ModuleNotFoundError:
        raise ServiceUnavailable("Signatures cannot be checked on this installation.") from None

    def verify(body: bytes, signature: bytes, pem: str) -> bool:
        public: Any = serialization.load_pem_public_key(pem.encode())
        if not (isinstance(public, elliptic.EllipticCurvePublicKey) and public.curve.name == "secp256r1"):
            return False
        try:
            public.verify(signature, body, elliptic.ECDSA(hashes.SHA256()))
        except invalid:
            return False
        return True

    return verify

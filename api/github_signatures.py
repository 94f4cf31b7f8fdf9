"""Signatures of GitHub's secret scanning: ECDSA on P-256 with SHA-256 over the raw body.

https://docs.github.com/en/code-security/secret-scanning/secret-scanning-partner-program. The public keys are those of
https://api.github.com/meta/public_keys/secret_scanning, kept in a file that the setting GITHUB_PUBLIC_KEYS names.
"""

import base64
import binascii
import json
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature as NotSigned
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ontology.errors import InvalidSignature


def check_signature(body: bytes, key_id: str | None, signature: str | None, keys: Path | None) -> None:
    """Refuse unless the body was signed by the named key.

    Raises:
        InvalidSignature: no signature, an unknown key, or another body.
    """
    if not key_id or not signature or (pem := read_public_keys(keys).get(key_id)) is None:
        raise InvalidSignature
    try:
        given = base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidSignature from None
    if not _is_signed(body, given, pem):
        raise InvalidSignature


def read_public_keys(keys: Path | None) -> dict[str, str]:
    """Keys in PEM form by identifier, those no longer current included: an alert may have been signed before."""
    if keys is None or not keys.is_file():
        return {}
    listed: Any = json.loads(keys.read_text(encoding="utf-8"))["public_keys"]
    return {str(entry["key_identifier"]): str(entry["key"]) for entry in listed}


def _is_signed(body: bytes, signature: bytes, pem: str) -> bool:
    public = serialization.load_pem_public_key(pem.encode())
    if not (isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name == "secp256r1"):
        return False
    try:
        public.verify(signature, body, ec.ECDSA(hashes.SHA256()))
    except NotSigned:
        return False
    return True

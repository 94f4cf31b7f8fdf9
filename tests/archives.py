"""Zip archives as tests send them."""

import io
import zipfile
from collections.abc import Mapping

TYPE = {"Content-Type": "application/zip"}


def pack(files: Mapping[str, bytes]) -> bytes:
    """A zip of files by name."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return made.getvalue()

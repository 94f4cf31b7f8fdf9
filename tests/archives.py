"""Zip archives as tests send them."""

import io
import zipfile
from collections.abc import Mapping

TYPE = {"Content-Type": "application/zip"}


def pack(files: Mapping[str, bytes]) -> bytes:
    """A zip of files by name, the same bytes for the same files whenever it is made."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return made.getvalue()

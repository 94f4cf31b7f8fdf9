"""Files as people have them (one page, an OpenAPI document, a zip of a docs tree), made into documents.

Nothing of an archive is unpacked to disk and its own word on sizes is not trusted: each file is read up to the bound,
and reading stops when the whole goes past its own. Archives within archives are not opened.
"""

import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, cast

import yaml
from pydantic import ValidationError

from knowledge.html_text import read_html_title
from ontology.documents import BATCH_MAX, DocumentPut

ARCHIVE_BYTES_MAX = 10_000_000
FILE_BYTES_MAX = 1_000_000
TOTAL_BYTES_MAX = 50_000_000
TOO_LARGE = "It is larger than 1 MB."
FORMATS = {
    ".md": "markdown",
    ".markdown": "markdown",
    ".html": "html",
    ".htm": "html",
    ".txt": "text",
    ".json": "openapi",
    ".yaml": "openapi",
    ".yml": "openapi",
}
_HEADING = re.compile(r"^#\s+(.{1,500})$", re.MULTILINE)
_FRONT_MATTER = re.compile(r"\A---\r?\n(.{0,10000}?)\r?\n---\r?(?:\n|\Z)", re.DOTALL)
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class UploadInvalid(ValueError):
    """The upload as a whole cannot be read; the message says why."""


@dataclass(frozen=True, slots=True)
class ReadFile:
    """One file: the document it makes, or why it makes none."""

    name: str
    document: DocumentPut | None
    problem: str = ""


def read_upload(name: str, data: bytes, options: dict[str, Any]) -> list[ReadFile]:
    """The documents of a file, or of each file of a zip; `options` are fields of every document.

    Files of other kinds (images, scripts, what is hidden) are left out of a zip without a word.

    Raises:
        UploadInvalid: it is too large, or no archive that can be read.
    """
    if not data:
        raise UploadInvalid("The file is empty.")
    if len(data) > ARCHIVE_BYTES_MAX:
        raise UploadInvalid("The file is larger than 10 MB.")
    if not name.lower().endswith(".zip"):
        return [_read_file(PurePosixPath(name).name, data, options)]
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _read_archive(archive, options)
    except UploadInvalid:
        raise
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError) as error:
        # What the module raises for archives that are damaged, encrypted, or of a kind that it does not know.
        raise UploadInvalid("This is not a zip archive that can be read.") from error


def _read_archive(archive: zipfile.ZipFile, options: dict[str, Any]) -> list[ReadFile]:
    members = [member for member in archive.infolist() if _is_wanted(member)]
    if len(members) > BATCH_MAX:
        raise UploadInvalid(f"The archive has {len(members)} documents; send at most {BATCH_MAX} at a time.")
    if not members:
        raise UploadInvalid("The archive has no Markdown, HTML, text, JSON or YAML files.")
    found: list[ReadFile] = []
    total = 0
    for member in members:
        data = _read_member(archive, member)
        total += FILE_BYTES_MAX if data == TOO_LARGE else len(data)
        if total > TOTAL_BYTES_MAX:
            raise UploadInvalid("The archive unpacks to more than 50 MB.")
        if isinstance(data, str):
            found.append(ReadFile(member.filename, None, data))
        else:
            found.append(_read_file(member.filename, data, options))
    return found


def _is_wanted(member: zipfile.ZipInfo) -> bool:
    path = PurePosixPath(member.filename)
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    return not member.is_dir() and not hidden and path.suffix.lower() in FORMATS


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes | str:
    """The file's bytes, or why it has none."""
    if member.compress_type not in _COMPRESSIONS or member.flag_bits & 0x1:
        return "It is encrypted, or packed in a way that is not read here."
    try:
        with archive.open(member) as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, RuntimeError, EOFError):
        return "It is damaged."
    return data if len(data) <= FILE_BYTES_MAX else TOO_LARGE


def _read_file(name: str, data: bytes, options: dict[str, Any]) -> ReadFile:
    format = FORMATS.get(PurePosixPath(name).suffix.lower())
    if format is None:
        return ReadFile(name, None, "Send Markdown, HTML, plain text, or OpenAPI in JSON or YAML.")
    if len(data) > FILE_BYTES_MAX:
        return ReadFile(name, None, TOO_LARGE)
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        return ReadFile(name, None, "It is not UTF-8 text.")
    if "\x00" in text:
        return ReadFile(name, None, "It holds a NUL character.")
    matter = _read_front_matter(text) if format == "markdown" else {}
    fields = options | {"format": format, "externalId": name, "text": text, "title": _find_title(name, text, format)}
    fields |= {key: value for key, value in matter.items() if key in ("title", "url", "kind", "labels")}
    try:
        return ReadFile(name, DocumentPut.model_validate(fields))
    except ValidationError as error:
        return ReadFile(name, None, "; ".join(_describe(error)))


def _find_title(name: str, text: str, format: str) -> str:
    found = ""
    if format == "markdown" and (heading := _HEADING.search(text)):
        found = heading[1].strip().rstrip("#").strip()
    elif format == "html":
        found = read_html_title(text)
    return found or PurePosixPath(name).stem[:500]


def _read_front_matter(text: str) -> dict[str, Any]:
    """What a page says of itself above its text; what cannot be read says nothing."""
    found = _FRONT_MATTER.match(text)
    if found is None or "&" in found[1] or "*" in found[1]:
        return {}
    try:
        matter: object = yaml.load(found[1], Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError):
        return {}
    return cast("dict[str, Any]", matter) if isinstance(matter, dict) else {}


def _describe(error: ValidationError) -> Iterator[str]:
    for item in error.errors(include_url=False, include_context=False, include_input=False)[:3]:
        yield f"{'.'.join(map(str, item['loc']))}: {item['msg'][:1].lower()}{item['msg'][1:]}"

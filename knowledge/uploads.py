"""Files as people have them (one page, an OpenAPI document, a zip of a docs tree), made into documents.

Nothing of an archive is unpacked to disk and its own word on sizes is not trusted: each file is read up to the bound,
and reading stops when the whole goes past its own. Archives within archives are not opened.
"""

import io
import json
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import PurePosixPath
from typing import Any, cast

import yaml
from pydantic import ValidationError

from knowledge.document_formats import check_document
from knowledge.html_text import read_html_title
from ontology.documents import BATCH_MAX, DocumentPut
from ontology.errors import InvalidDocument

ARCHIVE_BYTES_MAX = 10_000_000
FILE_BYTES_MAX = 1_000_000
TOTAL_BYTES_MAX = 50_000_000
# Reading YAML takes more than a second for each million bytes.
OPENAPI_BYTES_MAX = 3_000_000
TOO_LARGE = "It is larger than 1 MB; send it in parts."
FORMATS = {
    ".md": "markdown",
    ".markdown": "markdown",
    ".mdx": "markdown",
    ".html": "html",
    ".htm": "html",
    ".txt": "text",
    ".json": "openapi",
    ".yaml": "openapi",
    ".yml": "openapi",
}
_HEADING = re.compile(r"^#\s+(.{1,500})$", re.MULTILINE)
# Possessive, so that no number of spaces is tried twice.
_YAML_TITLE = re.compile(r"^info:[^\S\n]*+\n(?:[^\S\n]++.*+\n){0,50}?[^\S\n]++title:[^\S\n]++(.{1,500})$", re.MULTILINE)
_FRONT_MATTER = re.compile(r"\A---\r?\n(.{0,10000}?)\r?\n---\r?(?:\n|\Z)", re.DOTALL)
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class UploadInvalid(ValueError):
    """The upload as a whole cannot be read; the message says why."""


class UploadTooLarge(UploadInvalid):
    """There is more in it than is read at a time."""


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
    if name.lower().endswith(".zip"):
        return read_archive(data, options)
    _check_size(data)
    return [_read_file(PurePosixPath(name).name, data, options)]


def read_archive(data: bytes, options: dict[str, Any]) -> list[ReadFile]:
    """The documents of a zip, as `read_upload` does.

    Raises:
        UploadInvalid.
    """
    _check_size(data)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _read_members(archive, options)
    except UploadInvalid:
        raise
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError) as error:
        # What the module raises for archives that are damaged, encrypted, or of a kind that it does not know.
        raise UploadInvalid("This is not a zip archive that can be read.") from error


async def check_files(files: Sequence[ReadFile]) -> list[DocumentPut | InvalidDocument]:
    """What each file comes to, by place: its document, fit to be stored, or why there is none."""
    return [await _check_file(file) for file in files]


async def _check_file(file: ReadFile) -> DocumentPut | InvalidDocument:
    if file.document is None:
        return InvalidDocument(file.problem)
    try:
        await check_document(file.document)
    except InvalidDocument as refusal:
        return refusal
    return file.document


def _check_size(data: bytes) -> None:
    if not data:
        raise UploadInvalid("The file is empty.")
    if len(data) > ARCHIVE_BYTES_MAX:
        raise UploadTooLarge("The file is larger than 10 MB.")


def _read_members(archive: zipfile.ZipFile, options: dict[str, Any]) -> list[ReadFile]:
    members = [member for member in archive.infolist() if _is_wanted(member)]
    if len(members) > BATCH_MAX:
        raise UploadTooLarge(f"The archive has {len(members)} documents; send at most {BATCH_MAX} at a time.")
    if not members:
        raise UploadInvalid("The archive has no Markdown, HTML, text, JSON or YAML files.")
    found: list[ReadFile] = []
    total = openapi = 0
    for member in members:
        data = _read_member(archive, member)
        size = FILE_BYTES_MAX if data == TOO_LARGE else len(data)
        total += size
        if total > TOTAL_BYTES_MAX:
            raise UploadTooLarge("The archive unpacks to more than 50 MB; send it in parts.")
        openapi += size if _format_of(member.filename) == "openapi" else 0
        if openapi > OPENAPI_BYTES_MAX and _format_of(member.filename) == "openapi":
            data = "The archive has more than 3 MB of JSON and YAML; send this one by itself."
        if isinstance(data, str):
            found.append(ReadFile(member.filename, None, data))
        else:
            found.append(_read_file(member.filename, data, options))
    return found


def _is_wanted(member: zipfile.ZipInfo) -> bool:
    parts = PurePosixPath(member.filename).parts
    hidden = any(part.startswith((".", "__MACOSX")) and part != ".." for part in parts)
    return not member.is_dir() and not hidden and _format_of(member.filename) is not None


def _format_of(name: str) -> str | None:
    return FORMATS.get(PurePosixPath(name).suffix.lower())


def _leads_out(name: str) -> bool:
    """Nothing is unpacked, but a name becomes an address for who keeps the tree elsewhere."""
    return name.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", name) or name[1:2] == ":"


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes | str:
    """The file's bytes, or why it has none."""
    if _leads_out(member.filename):
        return "Its name leads out of the archive; pack it under a relative path."
    if member.compress_type not in _COMPRESSIONS or member.flag_bits & 0x1:
        return "It is encrypted, or packed in a way that is not read here; pack it without a password."
    try:
        with archive.open(member) as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, RuntimeError, EOFError):
        return "It is damaged; pack it again."
    return data if len(data) <= FILE_BYTES_MAX else TOO_LARGE


def _read_file(name: str, data: bytes, options: dict[str, Any]) -> ReadFile:
    format = _format_of(name)
    if format is None:
        return ReadFile(name, None, "Send Markdown, HTML, plain text, or OpenAPI in JSON or YAML.")
    if len(data) > FILE_BYTES_MAX:
        return ReadFile(name, None, TOO_LARGE)
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        return ReadFile(name, None, "It is not UTF-8 text; save it as UTF-8.")
    if "\x00" in text:
        return ReadFile(name, None, "It holds a NUL character; leave it out.")
    matter = _read_front_matter(text) if format == "markdown" else {}
    fields = options | {"format": format, "externalId": name, "text": text, "title": _find_title(name, text, format)}
    fields |= {key: matter[key] for key in ("title", "url", "kind", "labels") if matter.get(key) is not None}
    if isinstance(fields.get("labels"), str):
        fields["labels"] = [fields["labels"]]
    if isinstance(fields["title"], int | float | date):
        fields["title"] = str(fields["title"])
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
    elif format == "openapi":
        found = _find_api_title(text)
    return found or PurePosixPath(name).stem[:500]


def _find_api_title(text: str) -> str:
    """What an OpenAPI document is called (`info.title`); YAML is read no further than that: it is slow."""
    title: object = None
    with suppress(yaml.YAMLError, ValueError, LookupError, TypeError, RecursionError):
        if text.lstrip().startswith("{"):
            title = json.loads(text)["info"]["title"]
        elif found := _YAML_TITLE.search(text):
            title = yaml.load(found[1], Loader=yaml.CSafeLoader)
    return title.strip()[:500] if isinstance(title, str) else ""


def _read_front_matter(text: str) -> dict[str, Any]:
    """What a page says of itself above its text; what cannot be read says nothing."""
    found = _FRONT_MATTER.match(text)
    if found is None:
        return {}
    try:
        events = yaml.parse(found[1], Loader=yaml.CSafeLoader)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        # Merging aliases into each other could take for ever.
        if any(isinstance(event, yaml.AliasEvent) for event in cast("Iterator[Any]", events)):
            return {}
        matter: object = yaml.load(found[1], Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError):
        return {}
    return cast("dict[str, Any]", matter) if isinstance(matter, dict) else {}


def _describe(error: ValidationError) -> Iterator[str]:
    """What of its path or front matter does not fit."""
    for item in error.errors(include_url=False, include_context=False, include_input=False)[:3]:
        told = re.sub(r"^(Input|String|List) should ", "must ", item["msg"])
        yield f"`{'.'.join(map(str, item['loc']))}` {told[:1].lower()}{told[1:]}"

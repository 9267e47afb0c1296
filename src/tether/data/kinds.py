"""Kinds: what a file is that was taken for a picture or a table, by its first bytes."""

START = 1024
TEXT_SHOWN = 32

_BY_START = (
    (b"version https://git-lfs", "a git-lfs pointer, whose content was never fetched (git lfs pull)"),
    (b"%PDF", "a PDF"),
    (b"%!PS", "a PostScript file"),
    (b"PK\x03\x04", "a ZIP archive, as .xlsx and .docx are"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\xd0\xcf\x11\xe0", "an old Office file, as .xls is"),
    (b"PAR1", "a Parquet file"),
    (b"8BPS", "a Photoshop file"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000"),
    (b"\x00\x00\x01\x00", "an icon"),
    (b"{", "JSON"),
    (b"\xff\xd8\xff", "a JPEG"),
    (b"\x89PNG", "a PNG"),
    (b"GIF8", "a GIF"),
    (b"II*\0", "a TIFF"),
    (b"MM\0*", "a TIFF"),
)
PICTURES = frozenset({"a JPEG", "a PNG", "a GIF", "a TIFF"})
_MARKUP = (
    (b"<!doctype html", "an HTML page, such as a server sends instead of a file"),
    (b"<html", "an HTML page, such as a server sends instead of a file"),
    (b"<svg", "an SVG drawing"),
)
_BRANDS = {b"avif": "an AVIF", b"avis": "an AVIF", b"heic": "a HEIC photo", b"heix": "a HEIC photo", b"mif1": "a HEIF"}
_WIDE = (
    (b"\xff\xfe\x00\x00", "UTF-32"),
    (b"\x00\x00\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)


def kind_of(start: bytes) -> str:
    """Say what a file seems to be by its first bytes, or nothing where they tell nothing.

    >>> kind_of(b"<!DOCTYPE html><html>404")
    'an HTML page, such as a server sends instead of a file'
    """
    if not start.strip(b"\0"):
        return "nothing but zero bytes" if start else "empty"
    if start[4:8] == b"ftyp":
        return _BRANDS.get(start[8:12], "a video")
    known = next((kind for magic, kind in _BY_START if start.startswith(magic)), "")
    markup = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return known or next((kind for tag, kind in _MARKUP if markup.startswith(tag)), "") or _inside(markup)


def encoding_of(start: bytes) -> str:
    """Name the encoding other than UTF-8 that a text seems to be in, or nothing where it seems to be no text.

    >>> encoding_of("path,label".encode("utf-16")), encoding_of("Käfer".encode("latin-1"))
    ('UTF-16', 'Latin-1 or Windows-1252')
    """
    marked = next((name for mark, name in _WIDE if start.startswith(mark)), "")
    if marked or not start:
        return marked
    if b"\0" in start:
        even, odd = start[::2].count(0), start[1::2].count(0)
        return "UTF-16" if max(even, odd) > len(start) // 4 and min(even, odd) < len(start) // 50 + 1 else ""
    odd_bytes = sum(byte < 32 and byte not in b"\t\n\r" for byte in start)
    return "" if odd_bytes else "Latin-1 or Windows-1252"


def _inside(markup: bytes) -> str:
    if markup.startswith(b"<?xml") and b"<svg" in markup:
        return "an SVG drawing"
    plain = all(32 <= byte < 127 or byte in b"\t\n\r" for byte in markup)
    return f"text (`{' '.join(markup[:TEXT_SHOWN].decode('ascii').split())}`)" if plain else ""

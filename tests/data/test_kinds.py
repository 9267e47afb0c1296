import io

import pytest
from PIL import Image

from tether.data.kinds import PICTURES, encoding_of, kind_of


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"", "empty"),
        (bytes(9), "nothing but zero bytes"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "git-lfs pointer"),
        (b"\xef\xbb\xbf \n<!doctype HTML>", "HTML page"),
        (b"<HTML lang='en'>", "HTML page"),
        (b"<?xml version='1.0'?><svg>", "SVG"),
        (b"<?xml version='1.0'?><note>", "text (`<?xml version='1.0'?><note>`)"),
        (b"%PDF-1.4", "PDF"),
        (b"\0\0\0\x20ftypheic", "HEIC"),
        (b"\0\0\0\x20ftypavif", "AVIF"),
        (b"\0\0\0\x20ftypmp42", "video"),
        (b"two\n words", "text (`two words`)"),
        (b"\x01\x02", ""),
        ("Käfer".encode(), ""),
    ],
)
def test_what_a_file_is_by_its_start(start: bytes, kind: str) -> None:
    assert kind in kind_of(start)
    assert bool(kind) == bool(kind_of(start))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF"])
def test_a_picture_is_known(kind: str) -> None:
    stream = io.BytesIO()
    Image.new("L", (2, 2)).save(stream, kind)
    assert kind_of(stream.getvalue()) == f"a {kind}"
    assert kind_of(stream.getvalue()) in PICTURES


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_wide_letters_are_known_by_their_zeros(encoding: str) -> None:
    assert encoding_of("path,label\nKäfer/1.png,Käfer\n".encode(encoding)) == encoding.upper()[:6]


def test_other_encodings_are_guessed_only_of_text() -> None:
    assert encoding_of("Käfer\n".encode("latin-1")) == "Latin-1 or Windows-1252"
    assert encoding_of(b"\xff\x01\x02") == encoding_of(bytes(40)) == encoding_of(b"") == ""

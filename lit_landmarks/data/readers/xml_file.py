"""XML of annotation tools, read without entities of its own and without other files."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from lit_landmarks.errors import UserError

#: Attribute under which each element has the number of its line.
LINE = "\0line"


def read_xml(path: Path) -> Element:
    """The root element of an XML file; every element has its line in the attribute `LINE`.

    A document type is refused before anything that it declares is used: it could expand to
    gigabytes or name other files, and no annotation tool writes one.

    Raises:
        UserError: the file is missing, is no XML, or declares a document type.
    """
    builder = TreeBuilder()
    parser = expat.ParserCreate()

    def start(tag: str, attributes: dict[str, str]) -> None:
        builder.start(tag, attributes | {LINE: str(parser.CurrentLineNumber)})

    def refuse(*_: object) -> NoReturn:
        line = parser.CurrentLineNumber
        raise UserError(f"XML with a document type, {path}:{line}; remove the <!DOCTYPE ...> part")

    parser.StartElementHandler = start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(path.read_bytes(), True)
    except OSError as error:
        raise UserError(f"no file {path}; correct file") from error
    except (expat.ExpatError, ValueError, LookupError) as error:
        line = getattr(error, "lineno", 1)
        raise UserError(f"no XML: {error}, {path}:{line}; export it again") from error
    return builder.close()

"""Reads VTK image data in XML (.vti, .pvti), by the format's description alone.

Only what `rk export` promises: cell data, inline base64 with a 64-bit length, no compression. Anything else,
overlapping pieces and a length that does not match the extent are errors.
"""
import array
import base64
import struct
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

CODES = {"Int8": "b", "UInt8": "B", "Int16": "h", "UInt16": "H", "Int32": "i", "UInt32": "I", "Int64": "q",
         "UInt64": "Q", "Float32": "f", "Float64": "d"}


@dataclass
class Image:
    extent: tuple
    origin: tuple
    spacing: tuple
    arrays: dict


@dataclass
class Index:
    extent: tuple
    spacing: tuple
    pieces: list  # Images


def as_float32(value):
    return struct.unpack("<f", struct.pack("<f", value))[0]


def numbers(text, kind):
    return tuple(kind(word) for word in text.split())


def cells(extent):
    return [extent[2 * axis + 1] - extent[2 * axis] for axis in range(3)]


def expect(condition, what):
    if not condition:
        raise ValueError(what)


def root_of(path, kind):
    root = ElementTree.parse(path).getroot()
    expect(root.tag == "VTKFile" and root.get("type") == kind, f"{path} is no {kind}")
    expect(root.get("byte_order") == "LittleEndian" and root.get("header_type") == "UInt64", "another byte order")
    return root.find(kind)


def read(path):
    image = root_of(path, "ImageData")
    piece, = image.findall("Piece")
    extent = numbers(piece.get("Extent"), int)
    expect(numbers(image.get("WholeExtent"), int) == extent, "the piece is not the image")
    nx, ny, nz = cells(extent)
    arrays = {}
    for item in piece.find("CellData"):
        expect(item.get("format") == "binary", "another encoding")
        data = base64.b64decode(item.text.strip(), validate=True)
        length, = struct.unpack_from("<Q", data)
        expect(length == len(data) - 8, "the length is wrong")
        values = array.array(CODES[item.get("type")])
        values.frombytes(data[8:])
        expect(len(values) == nx * ny * nz, f"{len(values)} values for {nx} x {ny} x {nz} cells")
        arrays[item.get("Name")] = list(values)
    return Image(extent, numbers(image.get("Origin"), float), numbers(image.get("Spacing"), float), arrays)


def read_index(path):
    index = root_of(path, "PImageData")
    names = [item.get("Name") for item in index.find("PCellData")]
    pieces = []
    for item in index.findall("Piece"):
        piece = read(Path(path).parent / item.get("Source"))
        expect(piece.extent == numbers(item.get("Extent"), int), "a piece is not where the index says")
        expect(list(piece.arrays) == names, "a piece has other arrays than the index")
        pieces.append(piece)
    return Index(numbers(index.get("WholeExtent"), int), numbers(index.get("Spacing"), float), pieces)


def stitch(index):
    """The pieces' values in the order of one image."""
    nx, ny, nz = cells(index.extent)
    out = {}
    for piece in index.pieces:
        px, py, pz = cells(piece.extent)
        for name, values in piece.arrays.items():
            whole = out.setdefault(name, [None] * (nx * ny * nz))
            for k, value in enumerate(values):
                x, y, z = k % px + piece.extent[0], k // px % py + piece.extent[2], k // (px * py) + piece.extent[4]
                expect(whole[x + nx * (y + ny * z)] is None, "pieces overlap")
                whole[x + nx * (y + ny * z)] = value
    for values in out.values():
        expect(None not in values, "pieces do not cover the image")
    return out

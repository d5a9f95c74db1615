"""An independent reader of `.rkcp` version 1, for tests only: python3's standard library, no code of ours.

It follows the description of the container alone: header, metadata, chunks, CRC. Like the seed's reader it stops after the
last chunk and takes what follows (a footer) as part of the CRC. Bodies of compressed chunks are not read.
"""
import json
import struct
import zlib

MAGIC = 0x524B434B50543031
KNOWN_TYPES = (1, 2, 3, 4, 5, 6, 7, 8, 100)


class Bad(Exception):
    pass


class Cursor:
    def __init__(self, data, at=0):
        self.data, self.at = data, at

    def take(self, count):
        if count > len(self.data) - self.at:
            raise Bad(f"the file ends at {len(self.data)}, {count} bytes are missing at {self.at}")
        part = self.data[self.at:self.at + count]
        self.at += count
        return part

    def numbers(self, layout):
        return struct.unpack("<" + layout, self.take(struct.calcsize("<" + layout)))

    def text(self):
        return self.take(self.numbers("I")[0]).decode("utf-8")


def read_header(data):
    fields = Cursor(data).numbers("QIIQIIIIQQQ")
    names = ("magic", "version", "header_size", "total_size", "chunk_count", "compression", "crc", "flags", "created_at",
             "reserved_0", "reserved_1")
    header = dict(zip(names, fields))
    if header["magic"] != MAGIC or header["version"] != 1:
        raise Bad("not an .rkcp file of version 1")
    if header["header_size"] not in (56, 64) or header["total_size"] not in (len(data), len(data) - 8):
        raise Bad("sizes do not agree")
    if header["crc"] != zlib.crc32(data[64:]):
        raise Bad("the CRC does not match")
    if header["flags"] or header["reserved_0"] or header["reserved_1"]:
        raise Bad("reserved fields are in use")
    return header


def read_metadata(data):
    cursor = Cursor(data)
    out = {"kernel_id": cursor.text(), "kernel_type": cursor.text(), "step": cursor.numbers("Q")[0],
           "grid": list(cursor.numbers("III")), "tile": list(cursor.numbers("III"))}
    out["hlc"] = dict(zip(("physical", "logical", "node"), cursor.numbers("QQQ")))
    out["custom"] = {}
    order = []
    for _ in range(cursor.numbers("I")[0]):
        key, value = cursor.text(), cursor.text()
        order.append(key)
        out["custom"][key] = value
    if cursor.at != len(data) or len(order) != len(out["custom"]):
        raise Bad("metadata does not end where it should, or repeats a key")
    out["custom"] = dict(sorted(out["custom"].items()))
    return out, order


def read(data):
    """{"header", "metadata", "key_order", "chunks": [{type, id, uncompressed_size, stored_size, flags, data}], "rest"}."""
    header = read_header(data)
    cursor = Cursor(data, 64)
    metadata, key_order = read_metadata(cursor.take(cursor.numbers("I")[0]))
    chunks = []
    for _ in range(header["chunk_count"]):
        kind, flags, uncompressed, stored, identity = cursor.numbers("IIQQQ")
        body = cursor.take(stored)
        raw = header["compression"] == 0 or flags & 1
        if raw and uncompressed != stored:
            raise Bad("a raw chunk has two sizes")
        chunks.append({"type": kind, "id": f"{identity:016x}", "uncompressed_size": uncompressed, "stored_size": stored,
                       "flags": flags, "data": body if raw else None})
    return {"header": header, "metadata": metadata, "key_order": key_order, "chunks": chunks, "rest": data[cursor.at:]}


def describe(file):
    """What the sidecars of the vectors say; bodies that could not be read leave their checksums out."""
    out = dict(file["metadata"])
    out["chunks"] = []
    digest = 0
    for chunk in file["chunks"]:
        entry = {"type": chunk["type"], "id": chunk["id"], "uncompressed_size": chunk["uncompressed_size"]}
        if chunk["data"] is None:
            digest = None
        else:
            entry["crc32"] = f"{zlib.crc32(chunk['data']):08x}"
        out["chunks"].append(entry)
        if digest is not None and chunk["type"] in KNOWN_TYPES:
            identity = int(chunk["id"], 16) if chunk["type"] in (5, 100) else 0
            digest = zlib.crc32(chunk["data"], zlib.crc32(struct.pack("<IQI", chunk["type"], identity, 0), digest))
    if digest is not None:
        out["digest"] = f"{digest:08x}"
    return out


def as_json(described):
    """Compact, in the order of the keys; control characters as \\u00XX, like the sidecars."""
    short = {"\\n": "\\u000a", "\\t": "\\u0009", "\\r": "\\u000d", "\\b": "\\u0008", "\\f": "\\u000c"}
    text = json.dumps(described, separators=(",", ":"), ensure_ascii=False)
    out, at = "", 0
    while at < len(text):
        pair = text[at:at + 2]
        if pair[0] == "\\":
            out += short.get(pair, pair)
            at += 2
        else:
            out += text[at]
            at += 1
    return out

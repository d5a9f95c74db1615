"""A strict reader of Prometheus' text exposition format 0.0.4: refuses what the format does not allow.

As a program: prometheus_text.py FILE|-   prints what is wrong and exits with 1, or the number of samples.
             prometheus_text.py --self-test   plants a fault per rule and fails if one goes unseen.
"""
import math
import re
import sys

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
VALUE = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|[+-]Inf|NaN")
TYPES = ("counter", "gauge", "histogram", "summary", "untyped")


class Malformed(Exception):
    pass


def parse_sample(line):
    """(name, {label: value}, value)"""
    found = NAME.match(line)
    if not found:
        raise Malformed(f"no metric name: {line!r}")
    name, at, labels = found[0], found.end(), {}
    if line[at:at + 1] == "{":
        at += 1
        while line[at:at + 1] != "}":
            found = LABEL.match(line, at)
            if not found or line[found.end():found.end() + 2] != '="':
                raise Malformed(f"no label at column {at}: {line!r}")
            label, at, content = found[0], found.end() + 2, []
            while line[at:at + 1] != '"':
                if at >= len(line):
                    raise Malformed(f"a label's value does not end: {line!r}")
                if line[at] == "\\":
                    if line[at + 1:at + 2] not in ("\\", '"', "n"):
                        raise Malformed(f"unknown escape: {line!r}")
                    content.append("\n" if line[at + 1] == "n" else line[at + 1])
                    at += 2
                else:
                    content.append(line[at])
                    at += 1
            if label in labels:
                raise Malformed(f"label {label} twice: {line!r}")
            labels[label] = "".join(content)
            at += 1
            if line[at:at + 1] == ",":
                at += 1
            elif line[at:at + 1] != "}":
                raise Malformed(f"neither , nor }} at column {at}: {line!r}")
        at += 1
    if line[at:at + 1] != " ":
        raise Malformed(f"no blank before the value: {line!r}")
    if not VALUE.fullmatch(line[at + 1:]):
        raise Malformed(f"no number: {line!r}")
    return name, labels, float(line[at + 1:].replace("Inf", "inf"))


class Family:
    def __init__(self, name, kind):
        self.name, self.kind, self.samples = name, kind, {}

    def suffixes(self):
        return {"histogram": ("_bucket", "_sum", "_count"), "summary": ("", "_sum", "_count")}.get(self.kind, ("",))


def check_histogram(family):
    series = {}
    for (name, labels), value in family.samples.items():
        rest = tuple(pair for pair in labels if pair[0] != "le")
        entry = series.setdefault(rest, {"buckets": []})
        if name.endswith("_bucket"):
            bound = dict(labels).get("le")
            if bound is None:
                raise Malformed(f"{family.name}: a bucket without le")
            entry["buckets"].append((float(bound.replace("Inf", "inf")), value))
        else:
            entry[name[len(family.name):]] = value
    for rest, entry in series.items():
        bounds = [bound for bound, _ in entry["buckets"]]
        counts = [count for _, count in entry["buckets"]]
        if not bounds or bounds != sorted(set(bounds)) or bounds[-1] != math.inf:
            raise Malformed(f"{family.name}{rest}: bounds do not rise to +Inf")
        if counts != sorted(counts):
            raise Malformed(f"{family.name}{rest}: buckets are not cumulative")
        if entry.get("_count") != counts[-1] or "_sum" not in entry:
            raise Malformed(f"{family.name}{rest}: _count is not the last bucket, or _sum is missing")


def parse(text):
    """{family name: Family}; samples: {(name, ((label, value), ...)): number}"""
    if not text.endswith("\n"):
        raise Malformed("the last line does not end")
    families, current, helped = {}, None, None
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            helped, _, words = line[7:].partition(" ")
            if not NAME.fullmatch(helped) or not words:
                raise Malformed(f"bad HELP: {line!r}")
            continue
        if line.startswith("# TYPE "):
            name, _, kind = line[7:].partition(" ")
            if kind not in TYPES or not NAME.fullmatch(name):
                raise Malformed(f"bad TYPE: {line!r}")
            if name in families:
                raise Malformed(f"{name} comes twice")
            if name != helped:
                raise Malformed(f"{name} has no HELP right before its TYPE")
            if kind == "counter" and not name.endswith("_total"):
                raise Malformed(f"the counter {name} does not end in _total")
            if kind != "counter" and name.endswith("_total"):
                raise Malformed(f"{name} ends in _total and is no counter")
            current = families[name] = Family(name, kind)
            continue
        if line.startswith("#") or not line:
            raise Malformed(f"neither HELP, TYPE nor a sample: {line!r}")
        name, labels, value = parse_sample(line)
        if current is None or name not in [current.name + suffix for suffix in current.suffixes()]:
            raise Malformed(f"a sample outside of its family: {line!r}")
        key = (name, tuple(sorted(labels.items())))
        if key in current.samples:
            raise Malformed(f"a sample comes twice: {line!r}")
        if current.kind in ("counter", "histogram") and not value >= 0:
            raise Malformed(f"a counter below zero: {line!r}")
        current.samples[key] = value
    for family in families.values():
        if family.kind == "histogram":
            check_histogram(family)
    return families


def self_test():
    head = "# HELP a_total x y\n# TYPE a_total counter\n"
    histogram = "# HELP h x\n# TYPE h histogram\n"
    good = head + 'a_total{l="q\\"\\\\\\n"} 1e3\na_total 2\n' + histogram + \
        'h_bucket{le="1"} 1\nh_bucket{le="+Inf"} 2\nh_sum 3\nh_count 2\n'
    parse(good)
    faults = [head + "a_total 1", head + "a_total\n", head + "a_total x\n", head + "b_total 1\n", "a 1\n",
              head + "a_total 1\na_total 1\n", head + 'a_total{l="\\q"} 1\n', head + 'a_total{l="1} 1\n',
              head + 'a_total{1l="1"} 1\n', head + 'a_total{l="1",l="2"} 1\n', head + "a_total -1\n",
              "# HELP a x\n# TYPE a counter\na 1\n", "# TYPE a_total counter\na_total 1\n", head + head, head + "\n",
              "# HELP a x\n# TYPE a thing\na 1\n", "# HELP a_total x\n# TYPE a_total gauge\na_total 1\n",
              histogram + 'h_bucket{le="1"} 3\nh_bucket{le="+Inf"} 2\nh_sum 3\nh_count 2\n',
              histogram + 'h_bucket{le="1"} 1\nh_sum 3\nh_count 1\n',
              histogram + 'h_bucket{le="1"} 1\nh_bucket{le="+Inf"} 2\nh_sum 3\nh_count 3\n',
              histogram + 'h_bucket{le="1"} 1\nh_bucket{le="+Inf"} 2\nh_count 2\n']
    for fault in faults:
        try:
            parse(fault)
        except Malformed:
            continue
        sys.exit(f"a fault goes unseen: {fault!r}")
    print(f"{len(faults)} faults seen")


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        self_test()
    else:
        with (sys.stdin if sys.argv[1] == "-" else open(sys.argv[1], encoding="utf-8")) as file:
            try:
                print(sum(len(family.samples) for family in parse(file.read()).values()))
            except Malformed as fault:
                sys.exit(f"malformed: {fault}")

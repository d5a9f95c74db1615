#!/usr/bin/env python3
"""Source rules of docs/architecture.md that a compiler does not enforce.

Usage: layering.py ROOT          check a tree; prints FILE:LINE: rule, exits 1 on a violation
       layering.py --self-test   plants one violation per rule and fails if any goes unseen
"""
import pathlib
import re
import sys
import tempfile

ROOMS = ("hlc", "runtime", "kernels", "checkpoint")
PRODUCT = ROOMS + ("tools", "examples")
SUFFIXES = (".hpp", ".cpp", ".cuh", ".cu")

# Rooms a room's files may include, besides their own.
MAY_INCLUDE = {
    "hlc": set(),
    "runtime": {"hlc"},
    "kernels": {"runtime", "hlc"},
    "checkpoint": {"runtime", "hlc"},
}
# For users; rooms do not include them. The second one makes the actors of kernels/patterns/.
FACADES = ("runtime/runtime.hpp", "runtime/patterns.hpp")
ATOMICS_ALLOWED = {
    "runtime/atomic.hpp",
    # hlc includes nothing of ours, so its shared host clock and manual time cannot use the shim.
    "hlc/shared_clock.hpp",
    "hlc/physical_time.hpp",
}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
FENCE = re.compile(r"\batomic_thread_fence\b|\batomic_signal_fence\b|\b__threadfence(_block|_system)?\b"
                   r"|\b__sync_synchronize\b|\bfence\.(acq|sc|proxy)")
ATOMIC = re.compile(r"\bstd::atomic(_ref|_flag)?\b(?!_)|\bcuda::(std::)?atomic(_ref)?\b"
                    r"|\batomic(Add|Sub|CAS|Exch|Or|And|Xor|Max|Min|Inc|Dec)(_block|_system)?\s*\("
                    r"|\b__atomic_\w+|\b__sync_(fetch|val|bool|lock)\w*")
NON_COHERENT = re.compile(r"\b__ldg\s*\(|\bconst\b[^,;()]*__restrict(__)?\b")
PACKAGE_PATH = re.compile(r"^ringkernel/(?P<room>\w+)/(?P<file>[\w./]+)$")
# Standard headers have no dot and no slash; C headers of the platform are named.
STANDARD = re.compile(r"^[a-z_0-9]+$")
CUDA_RUNTIME = re.compile(r"^(cuda_\w+\.h|cuda\.h|device_\w+\.h|cooperative_groups(/.*|\.h)?|cub/.*|thrust/.*"
                          r"|nvtx3/.*)$")
LIBCUDACXX = re.compile(r"^cuda/.+$")
CUDA_GUARD = re.compile(r"__CUDACC__|__CUDA_ARCH__")


def strip_comments(text):
    """Blanks comments and string literals; keeps line numbers and include lines."""
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', re.S)
    out = []
    for chunk, is_include in split_includes(text):
        if is_include:
            out.append(chunk)
        else:
            out.append(pattern.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), chunk))
    return "".join(out)


def split_includes(text):
    held = []
    for line in text.splitlines(keepends=True):
        if INCLUDE.match(line):
            if held:
                yield "".join(held), False
                held = []
            yield line, True
        else:
            held.append(line)
    if held:
        yield "".join(held), False


def check_file(root, path):
    """Yields (line, message) for one file."""
    name = path.relative_to(root).as_posix()
    room = name.split("/")[0]
    in_src = name.startswith(tuple(f"{r}/src/" for r in ROOMS))
    public = room in ROOMS and not in_src and path.suffix in (".hpp", ".cuh")
    cuda_file = path.suffix in (".cuh", ".cu")
    guards = []  # one entry per open #if: does it mention CUDA?
    for number, line in enumerate(strip_comments(path.read_text(errors="replace")).splitlines(), 1):
        directive = re.match(r"^\s*#\s*(if\w*|elif|else|endif)\b(.*)", line)
        if directive:
            if directive[1].startswith("if"):
                guards.append(bool(CUDA_GUARD.search(directive[2])))
            elif directive[1] == "elif" and guards:
                guards[-1] = bool(CUDA_GUARD.search(directive[2]))
            elif directive[1] == "endif" and guards:
                guards.pop()
        include = INCLUDE.match(line)
        if include and room in PRODUCT:
            yield from ((number, m) for m in check_include(
                name, room, in_src, public, cuda_file, any(guards), include[1], include[2]))
        if room in ROOMS and FENCE.search(line):
            yield number, "stand-alone fence: use acquire/release on the guarding word"
        if room in ROOMS and name not in ATOMICS_ALLOWED and ATOMIC.search(line):
            # Bodies in src/ are host-only service code with their own threads.
            if not in_src:
                yield number, "atomic outside runtime/atomic.hpp"
        if room in ROOMS and NON_COHERENT.search(line):
            yield number, "non-coherent load on shared memory (__ldg, const __restrict__)"


def check_include(name, room, in_src, public, cuda_file, cuda_guarded, bracket, target):
    ours = PACKAGE_PATH.match(target)
    if ours:
        other = ours["room"]
        path = f"{other}/{ours['file']}"
        if other in ("tools", "examples", "bench", "tests") and room in ROOMS:
            yield f"a room includes {other}/"
        elif (room in ROOMS and path in FACADES and name not in FACADES
              and not name.startswith("runtime/src/")):
            yield f"{path} is for users; rooms do not include it"
        elif room in ROOMS and other != room and other not in MAY_INCLUDE[room]:
            facade_body = name.startswith("runtime/src/") and other == "checkpoint"
            if name not in FACADES and not facade_body:
                yield f"{room}/ may not include {other}/"
        if path.endswith(".cuh") and not cuda_file and not cuda_guarded:
            yield "a .cuh from a file that is not .cu/.cuh"
        if room not in ROOMS and "/src/" in path:
            yield "a private header of a room's src/"
        return
    if target.startswith("ringkernel/"):
        yield f"'{target}' is not ringkernel/<room>/<file>"
        return
    if bracket == '"':
        # Beside the file itself; only where there is no public name.
        if public:
            yield 'public headers include <ringkernel/room/x.hpp>, not "x.hpp"'
        if ".." in target.split("/"):
            yield "relative include through .."
        return
    if room not in ROOMS:
        return
    if CUDA_RUNTIME.match(target):
        if room != "kernels":
            yield f"CUDA header <{target}> outside kernels/"
        elif not cuda_file:
            yield f"CUDA header <{target}> outside a .cuh/.cu"
        return
    if LIBCUDACXX.match(target):
        if room == "checkpoint":
            yield f"CUDA header <{target}> in checkpoint/"
        elif not cuda_file and not cuda_guarded:
            yield f"<{target}> outside an #if on __CUDACC__ or __CUDA_ARCH__"
        return
    if public and not STANDARD.match(target):
        yield f"third-party or platform header <{target}> in a public header"


def check_tree(root):
    root = pathlib.Path(root).resolve()
    found = []
    seen = 0
    for room in PRODUCT:
        for path in sorted((root / room).rglob("*")):
            if path.suffix in SUFFIXES and path.is_file():
                seen += 1
                name = path.relative_to(root).as_posix()
                found += [f"{name}:{line}: {message}" for line, message in check_file(root, path)]
    return seen, found


GOOD = {
    "hlc/good.hpp": "#include <cstdint>\n// std::atomic<int> in a comment\n",
    "hlc/shared_clock.hpp": "#include <atomic>\nstd::atomic<int> word;\n",
    "runtime/atomic.hpp": "#if defined(__CUDA_ARCH__)\n#include <cuda/atomic>\n#endif\nstd::atomic_ref<int> a(b);\n",
    "runtime/runtime.hpp": "#include <ringkernel/checkpoint/manager.hpp>\n",
    "runtime/patterns.hpp": "#include <ringkernel/kernels/patterns/x.hpp>\n#include <ringkernel/runtime/runtime.hpp>\n",
    "kernels/patterns/x.hpp": "#include <ringkernel/runtime/actor.hpp>\n",
    "runtime/src/runtime.cpp": "#include <ringkernel/checkpoint/manager.hpp>\n#include <ringkernel/runtime/runtime.hpp>\n",
    "kernels/cuda.cuh": "#include <cuda_runtime.h>\n#include <cub/block/block_reduce.cuh>\n#include <ringkernel/runtime/x.hpp>\n",
    "checkpoint/src/a.cpp": "#include <isa-l.h>\n#include <fcntl.h>\n#include <ringkernel/hlc/clock.hpp>\n",
    "tools/main.cpp": "#include <CLI/CLI.hpp>\n#include <ringkernel/checkpoint/a.hpp>\n",
}
PLANTED = {
    "hlc/a.hpp": "#include <ringkernel/runtime/result.hpp>\n",
    "runtime/a.hpp": "#include <ringkernel/kernels/worker.hpp>\n",
    "runtime/b.hpp": "#include <ringkernel/checkpoint/manager.hpp>\n",
    "runtime/src/b.cpp": "#include <ringkernel/kernels/worker.hpp>\n",
    "runtime/c.hpp": "#include <ringkernel/runtime/runtime.hpp>\n",
    "kernels/patterns/y.hpp": "#include <ringkernel/runtime/patterns.hpp>\n",
    "kernels/patterns/z.hpp": "#include <ringkernel/runtime/runtime.hpp>\n",
    "runtime/l.hpp": "#include <ringkernel/kernels/patterns/x.hpp>\n",
    "kernels/a.hpp": "#include <ringkernel/checkpoint/format.hpp>\n",
    "kernels/b.hpp": "#include <ringkernel/runtime/runtime.hpp>\n",
    "kernels/c.hpp": "#include <cuda_runtime.h>\n",
    "kernels/d.hpp": "#include <ringkernel/kernels/cuda.cuh>\n",
    "kernels/e.hpp": "#include <ringkernel/examples/acoustics/room.hpp>\n",
    "kernels/f.cuh": "__threadfence_system();\n",
    "kernels/g.cuh": "if (atomicAdd(p, 1) == 0) {}\n",
    "kernels/h.cuh": "cuda::atomic_ref<int, cuda::thread_scope_device> a(*p);\n",
    "kernels/i.cuh": "float x = __ldg(p);\n",
    "kernels/j.cuh": "void f(const float* __restrict__ p);\n",
    "checkpoint/a.hpp": "#include <ringkernel/kernels/worker.hpp>\n",
    "checkpoint/src/b.cpp": "#include <ringkernel/kernels/worker.hpp>\n",
    "checkpoint/src/c.cpp": "#include <cuda_runtime.h>\n",
    "checkpoint/src/d.cpp": "#include <cuda/atomic>\n",
    "checkpoint/e.hpp": "#include <nlohmann/json.hpp>\n",
    "checkpoint/f.hpp": "#include <boost/lockfree/spsc_queue.hpp>\n",
    "checkpoint/g.hpp": "#include <unistd.h>\n",
    "runtime/d.hpp": "#include <cuda/atomic>\n",
    "runtime/e.hpp": "std::atomic<int> shared;\n",
    "runtime/f.hpp": "std::atomic_thread_fence(std::memory_order_seq_cst);\n",
    "runtime/g.hpp": '#include "result.hpp"\n',
    "runtime/h.hpp": "__atomic_store_n(p, 1, __ATOMIC_RELEASE);\n",
    "runtime/i.hpp": "/* a\n comment */ std::atomic_flag lock;\n",
    "runtime/src/j.cpp": "std::atomic_thread_fence(std::memory_order_acquire);\n",
    "runtime/k.hpp": "#include <ringkernel/result.hpp>\n",
    "tools/a.cpp": "#include <ringkernel/checkpoint/src/private.hpp>\n",
    "examples/x/a.cpp": "#include <ringkernel/kernels/cuda.cuh>\n",
}


def self_test():
    failures = []

    def run(files):
        with tempfile.TemporaryDirectory() as folder:
            for name, text in files.items():
                path = pathlib.Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            return check_tree(folder)[1]

    if found := run(GOOD):
        failures += [f"false alarm: {line}" for line in found]
    for name, text in PLANTED.items():
        found = run(GOOD | {name: text})
        if not any(line.startswith(name + ":") for line in found):
            failures.append(f"planted violation not seen: {name}: {text.strip()}")
    print("\n".join(failures) or f"layering self-test: {len(PLANTED)} planted violations seen")
    return bool(failures)


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    seen, found = check_tree(sys.argv[1])
    if seen == 0:
        found.append("no source file found: wrong folder?")
    print("\n".join(found) or f"layering: {seen} files follow the rules")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())

"""What check_queues and check_actors share: one run of `rk bench`, and its claims."""
import argparse
import json
import os
import subprocess
import sys

PROBE_LIMIT_NS = 250


def options(text, repetitions):
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", nargs="?", default="build/host")
    parser.add_argument("--repetitions", type=int, default=repetitions)
    return parser.parse_args()


def run(chosen, name):
    command = [os.path.join(chosen.build, "rk"), "bench", name, "--repetitions", str(chosen.repetitions), "--json", "-"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3600, check=False)
    if done.returncode != 0:
        print(f"FAIL rk_bench_{name} exits_with_{done.returncode}:{done.stderr.strip()} 0")
        sys.exit(1)
    return json.loads(done.stdout)


def claim(name, passed, measured, bound):
    print(f"{'PASS' if passed else 'FAIL'} {name} {measured} {bound}")
    return not passed


def keys(report, expected):
    return claim("the_keys_are_those_documented", set(report) == expected, len(report), len(expected))


def figures(report, key, unit):
    entry = report[key]
    return (f"{key}: ours {entry['ours']:.2f} {unit}, peer {entry['peer']:.2f} {unit}, ratio {entry['ratio']:.2f}, "
            f"probe {entry['probe_ns']:.0f} ns")


def ratios(report, bounds, unit="M/s", everywhere=False):
    """True if a ratio that counts is below its bound."""
    failed = False
    for key, bound in bounds.items():
        entry = report[key]
        ratio, probe = entry["ratio"], entry["probe_ns"]
        if everywhere or probe < PROBE_LIMIT_NS:
            failed |= claim(f"{key}_over_peer", ratio >= bound and entry["bound"] == bound, f"{ratio:.2f}", f">={bound}")
        else:
            print(f"PASS {key}_over_peer {ratio:.2f} reported_only:probe_of_{probe:.0f}_ns_is_not_below_{PROBE_LIMIT_NS}")
        print(f"     {figures(report, key, unit)}")
    return failed

"""`rk run factory` as a user meets it: machines fail, the run is saved and resumed, no job is lost."""
import json
import os
import subprocess
import sys
import tempfile
import unittest

RK = os.environ.get("RK") or sys.exit("set RK to the rk program")
FACTORY = ["run", "factory", "--jobs", "300000", "--json"]


def rk(*arguments):
    return subprocess.run([RK, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)


class Factory(unittest.TestCase):
    def test_a_run_that_is_saved_and_resumed_finishes_the_same_jobs(self):
        whole = rk(*FACTORY, "--workers", 2)
        self.assertEqual(whole.returncode, 0, whole.stderr)
        whole = json.loads(whole.stdout)
        self.assertEqual(whole["finished"] + whole["poisoned"], 300000)
        self.assertGreater(whole["machine_restarts"], 0)
        with tempfile.TemporaryDirectory() as folder:
            stopped = rk(*FACTORY, "--workers", 2, "--checkpoint-dir", folder, "--max-walltime", "40ms")
            self.assertEqual(stopped.returncode, 85, stopped.stderr)
            done = rk(*FACTORY, "--workers", 3, "--checkpoint-dir", folder)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("resumed from", done.stderr)
            self.assertEqual(json.loads(done.stdout)["digest"], whole["digest"])
            refused = rk(*FACTORY, "--checkpoint-dir", folder, "--fail-percent", 3)
            self.assertEqual(refused.returncode, 5, refused.stderr)

    def test_a_crash_loop_that_nobody_stops_ends_the_run(self):
        done = rk("run", "factory", "--jobs", 20000, "--max-tries", 0, "--site-intensity", 2, "--window-us", 3600000000)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("called ctx.fail", done.stderr)

    def test_wrong_usage_exits_with_2(self):
        for arguments in (["--pairs", 100], ["--lines", 1, "--areas", 2], ["--intensity", 17], ["--restart", "never"]):
            self.assertEqual(rk("run", "factory", *arguments).returncode, 2, arguments)


if __name__ == "__main__":
    unittest.main()

"""Checkpoints in shared memory and in tiers, as a user of rk meets them."""
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

RK = os.environ.get("RK") or sys.exit("set RK to the rk program")
BANK = ["run", "bank", "--accounts", "500", "--deposits", "100", "--workers", "2", "--json"]
# Too long to end by itself before it is told to.
ENDLESS = [*BANK, "--transfers", "3000000000"]


def rk(*arguments):
    return subprocess.run([RK, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)


def valid(place):
    done = rk("list", place, "--json")
    return [e["epoch"] for e in json.loads(done.stdout) if e["state"] == "valid"] if done.returncode == 0 else []


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False


class Tiers(unittest.TestCase):
    counter = 0

    def setUp(self):
        Tiers.counter += 1
        name = f"rk-e2e-{os.getpid()}-{Tiers.counter}"
        self.arena = Path("/dev/shm/ringkernel." + name)
        self.shm = f"shm:{name}?mib=8"
        self.folder = tempfile.TemporaryDirectory()
        self.disk = Path(self.folder.name) / "disk"
        self.far = Path(self.folder.name) / "far"

    def tearDown(self):
        self.arena.unlink(missing_ok=True)
        self.folder.cleanup()

    def tiers(self, *more):
        return ["--checkpoint-dir", self.shm, "--tier", self.disk, "--tier", self.far, "--keep", "2", *more]

    def test_saved_and_stopped_means_saved_where_the_user_said(self):
        for ack in (self.disk, self.far):
            done = rk(*ENDLESS, *self.tiers("--ack", ack, "--max-walltime", "200ms"))
            self.assertEqual(done.returncode, 85, done.stderr)
            self.assertTrue(valid(ack))
            self.assertEqual(max(valid(ack)), max(valid(self.shm)))

    def test_a_lost_first_tier_is_made_up_for_by_the_next(self):
        done = rk(*ENDLESS, *self.tiers("--ack", self.disk, "--max-walltime", "200ms"))
        self.assertEqual(done.returncode, 85, done.stderr)
        newest = max(valid(self.disk))
        self.arena.unlink()
        done = rk(*ENDLESS, *self.tiers("--ack", self.far, "--max-walltime", "200ms"))
        self.assertEqual(done.returncode, 85, done.stderr)
        self.assertIn("resumed from", done.stderr)
        self.assertGreater(max(valid(self.far)), newest, "epochs go on from what any tier has seen")

    def test_a_killed_run_goes_on_from_shared_memory(self):
        command = [RK, *ENDLESS, "--checkpoint-dir", self.shm, "--checkpoint-every", "5ms"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self.assertTrue(wait_for(lambda: len(valid(self.shm)) >= 2))
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        before = max(valid(self.shm))
        done = rk(*ENDLESS, "--checkpoint-dir", self.shm, "--max-walltime", "100ms")
        self.assertEqual(done.returncode, 85, done.stderr)
        self.assertIn("resumed from", done.stderr)
        self.assertGreater(max(valid(self.shm)), before)
        self.assertEqual(rk("verify", self.shm).returncode, 0)
        self.assertEqual(oct(self.arena.stat().st_mode & 0o777), "0o600")

    def test_one_checkpoint_of_a_store_can_be_named(self):
        done = rk(*ENDLESS, "--checkpoint-dir", self.shm, "--max-walltime", "100ms")
        self.assertEqual(done.returncode, 85, done.stderr)
        name = json.loads(rk("list", self.shm, "--json").stdout)[-1]["directory"]
        place = self.shm.split("?")[0] + "/" + name
        self.assertEqual(rk("verify", place).returncode, 0)
        self.assertIn("manifest", json.loads(rk("inspect", place, "--json").stdout))

    def test_two_writers_and_wrong_settings_are_refused(self):
        self.assertEqual(rk(*ENDLESS, "--tier", self.disk).returncode, 2)
        self.assertEqual(rk(*ENDLESS, *self.tiers("--ack", "elsewhere")).returncode, 2)
        self.assertEqual(rk(*ENDLESS, "--checkpoint-dir", self.disk, "--tier", self.disk).returncode, 2)
        self.assertEqual(rk(*ENDLESS, "--checkpoint-dir", "ftp://x/y").returncode, 2)
        process = subprocess.Popen([RK, *ENDLESS, *self.tiers("--checkpoint-every", "5ms")],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self.assertTrue(wait_for(lambda: valid(self.far)))
            for place in (self.shm, self.disk, self.far):
                done = rk(*ENDLESS, "--checkpoint-dir", place)
                self.assertEqual(done.returncode, 6, done.stderr)
                self.assertIn("in use", done.stderr)
        finally:
            process.kill()
            process.wait()


if __name__ == "__main__":
    unittest.main()

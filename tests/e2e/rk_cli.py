"""The rk command line from outside: exit codes, output of every subcommand, signals, resuming."""
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import wave
from pathlib import Path

RK = os.environ.get("RK") or sys.exit("set RK to the rk program")
BANK = ["run", "bank", "--accounts", "2000", "--transfers", "3000000", "--deposits", "3000", "--workers", "2", "--json"]
# Too long to end by itself before a signal reaches it, however slow the machine is.
LONG_BANK = [argument if argument != "3000000" else "3000000000" for argument in BANK]


def rk(*arguments):
    return subprocess.run([RK, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.005)
    return False


def valid_checkpoints(folder):
    listed = rk("list", folder, "--json")
    return [e for e in json.loads(listed.stdout) if e["state"] == "valid"] if listed.returncode == 0 else []


class Usage(unittest.TestCase):
    def test_wrong_usage_exits_with_2_and_explains_on_stderr(self):
        for arguments in ([], ["nothing"], ["run"], ["run", "nothing"], ["run", "bank", "--workers", "x"], ["verify"],
                          ["run", "bank", "--checkpoint-dir", "d", "--checkpoint-every", "5 parsecs"],
                          ["run", "bank", "--checkpoint-every", "5s"], ["run", "bank", "--accounts", "3"],
                          ["run", "bank", "--checkpoint-dir", "d", "--checkpoint-compress", "zstd:20"],
                          ["convert", "a.rkcp"], ["convert", "a.rkcp", "b.rkcp", "--compress", "gzip"],
                          ["bench"], ["bench", "nothing"], ["bench", "format", "--mib", "0"],
                          ["bench", "queues", "--messages", "0"],
                          ["run", "bank", "--checkpoint-every-messages", "9"], ["run", "bank", "--mtbf", "6h"],
                          ["run", "bank", "--checkpoint-dir", "d", "--mtbf", "6h", "--checkpoint-every", "1s"],
                          ["run", "bank", "--checkpoint-dir", "d", "--checkpoint-every-messages", "-1"],
                          ["run", "bank", "--checkpoint-dir", "d", "--save-margin", "1s"],
                          ["run", "bank", "--save-margin", "1s", "--max-walltime", "5s"],
                          ["run", "bank", "--checkpoint-dir", "d", "--save-margin", "5s", "--max-walltime", "5s"],
                          ["run", "bank", "--workers", "256"], ["run", "bank", "--keep", "0"]):
            with self.subTest(arguments=arguments):
                done = rk(*arguments)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertEqual(done.stdout, "")
                self.assertNotEqual(done.stderr, "")

    def test_help_and_version_exit_with_0(self):
        self.assertEqual(rk("--help").returncode, 0)
        self.assertIn("--checkpoint-every", rk("run", "bank", "--help").stdout)
        self.assertRegex(rk("--version").stdout, r"^rk \d+\.\d+\.\d+\n$")

    def test_what_is_not_there_exits_with_3(self):
        for command in ("list", "inspect", "verify"):
            self.assertEqual(rk(command, "/nonexistent/place").returncode, 3, command)

    def test_doctor_names_what_is_here_and_what_is_missing(self):
        facts = json.loads(rk("doctor", "--json").stdout)
        self.assertGreaterEqual(facts["cores"], 1)
        self.assertGreater(facts["memory_bytes"], 0)
        for missing in facts["missing"]:
            self.assertTrue(missing["what"] and missing["why"] and missing["how"])
        self.assertIn("host executor", rk("doctor").stdout)


    def test_an_unknown_benchmark_names_those_there_are(self):
        self.assertIn("format", rk("bench", "nothing").stderr)

    def test_bench_format_prints_its_five_figures(self):
        with tempfile.TemporaryDirectory() as folder:
            done = rk("bench", "format", "--mib", "1", "--repetitions", "2", "--dir", folder, "--json", "-")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(os.listdir(folder), [])
        figures = json.loads(done.stdout)
        self.assertEqual(set(figures), {"encode_gbps", "decode_gbps", "memcpy_gbps", "save_gbps", "write_fsync_gbps"})
        self.assertTrue(all(value > 0 for value in figures.values()))

    def check_pairs(self, done, with_bound, without_bound):
        self.assertEqual(done.returncode, 0, done.stderr)
        report = json.loads(done.stdout)
        self.assertEqual(set(report), with_bound | without_bound | {"probe_ns"})
        self.assertGreater(report.pop("probe_ns"), 0)
        for key, entry in report.items():
            with self.subTest(key=key):
                self.assertEqual(set(entry) - {"limit_bytes"},
                                 {"ours", "peer", "ratio", "probe_ns"} | ({"bound"} if key in with_bound else set()))
                for value in entry.values():
                    self.assertIsInstance(value, (int, float))
                    self.assertTrue(0 < value < float("inf"), entry)
        return report

    def test_bench_queues_prints_a_pair_of_figures_for_each_queue(self):
        done = rk("bench", "queues", "--messages", "2000", "--repetitions", "2", "--json", "-")
        self.check_pairs(done, {"spsc_16", "spsc_64", "inbox_1p1c", "inbox_2p1c"}, {"h2k_64", "h2k_128"})

    def test_bench_actors_prints_a_pair_of_figures_for_each_workload_or_says_how_to_get_its_peer(self):
        done = rk("bench", "actors", "--messages", "2000", "--repetitions", "2", "--json", "-")
        if done.returncode == 3:
            self.assertIn("libcaf-dev", done.stderr)
            self.skipTest("rk was built without CAF")
        report = self.check_pairs(done, {"caf_bytes", "caf_ping_cross", "caf_ping_local", "caf_fan_in",
                                         "caf_ring_hashed", "caf_ring_block", "caf_random", "caf_spawn"},
                                  {"caf_spawn_before_start", "caf_ring_spread"})
        self.assertEqual(report["caf_bytes"]["limit_bytes"], 210)


class Checkpoints(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.uninterrupted = json.loads(rk(*BANK).stdout)

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.dir = Path(folder.name) / "checkpoints"

    def finish(self, *more):
        done = rk(*BANK, "--checkpoint-dir", self.dir, *more)
        self.assertEqual(done.returncode, 0, done.stderr)
        result = json.loads(done.stdout)
        self.assertEqual(result["digest"], self.uninterrupted["digest"])
        self.assertEqual(result["total"], self.uninterrupted["expected_total"])
        return done, result

    def start(self, *more, run=BANK):
        process = subprocess.Popen([RK, *run, "--checkpoint-dir", str(self.dir), *more], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.kill)
        return process

    def stop_by(self, process, number):
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 85, errors)
        self.assertIn("the same command resumes", errors)
        return errors

    def test_walltime_saves_and_exits_with_85_and_the_same_command_resumes(self):
        done = rk(*BANK, "--checkpoint-dir", self.dir, "--max-walltime", "100ms")
        self.assertEqual(done.returncode, 85, done.stderr)
        self.assertFalse(json.loads(done.stdout)["complete"])
        resumed, result = self.finish("--workers", "4")
        self.assertIn("resumed from", resumed.stderr)
        self.assertIsNotNone(result["restored_epoch"])

    def test_a_stop_without_a_directory_is_not_called_saved(self):
        done = rk(*BANK, "--max-walltime", "50ms")
        self.assertEqual(done.returncode, 1)
        self.assertIn("without a checkpoint", done.stderr)

    def test_sigterm_and_sigint_save_and_stop_and_the_same_command_resumes(self):
        self.stop_by(self.running(), signal.SIGTERM)
        saved = valid_checkpoints(self.dir)[-1]["epoch"]
        errors = self.stop_by(self.running(), signal.SIGINT)
        self.assertIn("resumed from", errors)
        self.assertGreater(valid_checkpoints(self.dir)[-1]["epoch"], saved)

    def running(self, *more):
        """A long run that has shown, by a new checkpoint, that it is at work."""
        before = max((entry["epoch"] for entry in valid_checkpoints(self.dir)), default=-1)
        process = self.start("--checkpoint-every", "20ms", *more, run=LONG_BANK)
        self.assertTrue(wait_for(lambda: any(entry["epoch"] > before for entry in valid_checkpoints(self.dir))))
        return process

    def test_sigusr1_saves_and_goes_on(self):
        process = self.start(run=LONG_BANK)
        self.assertTrue(wait_for(self.dir.exists))
        process.send_signal(signal.SIGUSR1)
        self.assertTrue(wait_for(lambda: len(valid_checkpoints(self.dir)) == 1))
        self.assertIsNone(process.poll())
        self.stop_by(process, signal.SIGTERM)
        self.assertEqual(len(valid_checkpoints(self.dir)), 2)

    def test_every_n_messages_saves_and_says_how_often(self):
        messages = self.uninterrupted["messages"]
        _, result = self.finish("--checkpoint-every-messages", messages // 2)
        self.assertTrue(1 <= result["checkpoints"] <= 2, result)
        self.assertEqual(result["checkpoint_failures"], 0)
        self.assertGreater(result["longest_checkpoint_ms"], 0)

    def test_more_messages_than_there_are_save_nothing(self):
        _, result = self.finish("--checkpoint-every-messages", 2 * self.uninterrupted["messages"])
        self.assertEqual(result["checkpoints"], 0)
        self.assertEqual(valid_checkpoints(self.dir), [])

    def test_an_example_without_steps_refuses_to_count_them(self):
        done = rk(*BANK, "--checkpoint-dir", self.dir, "--checkpoint-every-steps", "5")
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("steps", done.stderr)

    def test_every_n_steps_of_a_simulation(self):
        sound = self.dir.parent / "click.wav"
        with wave.open(str(sound), "wb") as out:
            out.setparams((1, 2, 8000, 0, "NONE", ""))
            out.writeframes(b"\x00\x40" + bytes(2 * 299))
        done = rk("run", "acoustics", "--input", sound, "--output", self.dir.parent / "heard.wav", "--room", "2x2x2",
                  "--source", "0.5,0.5,0.5", "--mic", "1,1,1", "--workers", "2", "--checkpoint-dir", self.dir,
                  "--checkpoint-every-steps", "100", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        result = json.loads(done.stdout)
        # one at the end whatever happens; three at most by 300 steps, one at least
        self.assertTrue(2 <= result["checkpoints"] <= 4, result)
        self.assertEqual(result["checkpoint_failures"], 0)

    def test_mtbf_sets_the_interval_by_what_checkpoints_take(self):
        process = self.start("--mtbf", "2s", run=LONG_BANK)
        self.assertTrue(wait_for(lambda: any(e["epoch"] >= 2 for e in valid_checkpoints(self.dir))))
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 85, errors)
        result = json.loads(output)
        self.assertTrue(0 < result["checkpoint_interval_s"] <= 2, result)

    def test_the_margin_is_kept_free_before_the_walltime_ends(self):
        began = time.monotonic()
        done = rk(*LONG_BANK, "--checkpoint-dir", self.dir, "--max-walltime", "10h", "--save-margin", "35999900ms")
        self.assertEqual(done.returncode, 85, done.stderr)
        self.assertLess(time.monotonic() - began, 100)
        self.assertEqual(len(valid_checkpoints(self.dir)), 1)

    def point_directory_at(self, target):
        link = self.dir.parent / "link"
        link.symlink_to(target)
        link.replace(self.dir)

    def test_failed_checkpoints_are_counted_told_and_retried(self):
        real = self.dir.parent / "real"
        real.mkdir()
        self.point_directory_at(real)
        process = self.running()
        blocked = self.dir.parent / "blocked"
        blocked.write_text("no directory")
        self.point_directory_at(blocked)
        told = next((line for line in process.stderr if "checkpoint failed" in line), None)
        self.assertIn("next try in", told)
        self.point_directory_at(real)
        before = max(entry["epoch"] for entry in valid_checkpoints(self.dir))
        self.assertTrue(wait_for(lambda: any(e["epoch"] > before for e in valid_checkpoints(self.dir)), 90))
        process.send_signal(signal.SIGTERM)
        output, told = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 85, told)
        result = json.loads(output)
        self.assertGreaterEqual(result["checkpoint_failures"], 1)
        self.assertTrue(result["last_checkpoint_failure"])
        self.assertIn("checkpoints failed; the last time", told)

    def test_sigkill_loses_nothing_that_was_acknowledged(self):
        process = self.start("--checkpoint-every", "20ms")
        self.assertTrue(wait_for(lambda: self.dir.exists() and len(valid_checkpoints(self.dir)) >= 2))
        process.kill()
        process.communicate()
        resumed, _ = self.finish()
        self.assertIn("resumed from", resumed.stderr)

    def test_increments_are_made_resumed_and_folded(self):
        process = self.running("--full-every", "1000", "--keep", "2")
        newest = valid_checkpoints(self.dir)[-1]["epoch"]
        self.assertTrue(wait_for(lambda: valid_checkpoints(self.dir)[-1]["epoch"] >= newest + 3))
        self.stop_by(process, signal.SIGTERM)
        before = valid_checkpoints(self.dir)
        self.assertGreater(len(before), 3, "the chain of what is kept")
        folded = json.loads(rk("compact", self.dir, "--compress", "lz4", "--json").stdout)
        self.assertEqual(folded["folded"], len(before))
        self.assertEqual(valid_checkpoints(self.dir)[-1]["directory"], folded["directory"])
        self.assertIn("already", rk("compact", self.dir).stdout)
        self.assertIn("resumed from " + folded["directory"], self.stop_by(self.running(), signal.SIGTERM))
        self.assertEqual(rk("compact", self.dir / "nothing").returncode, 3)

    def test_compressed_checkpoints_resume_under_any_codec_and_their_shards_convert(self):
        sizes = {}
        for codec, following in (("zstd:9", "none"), ("lz4", "zstd")):
            with self.subTest(codec=codec):
                done = rk(*BANK, "--checkpoint-dir", self.dir, "--max-walltime", "100ms", "--checkpoint-compress", codec,
                          "--fresh")
                self.assertEqual(done.returncode, 85, done.stderr)
                newest = self.dir / valid_checkpoints(self.dir)[-1]["directory"]
                self.assertEqual(rk("verify", newest).returncode, 0)
                shard = max(newest.glob("*.rkcp"), key=lambda path: path.stat().st_size)
                plain = self.dir.parent / (codec.replace(":", "_") + ".rkcp")
                self.assertEqual(rk("convert", shard, plain).returncode, 0)
                self.assertEqual(rk("inspect", plain, "--json").stdout, rk("inspect", shard, "--json").stdout)
                sizes[codec] = shard.stat().st_size / plain.stat().st_size
                resumed, _ = self.finish("--checkpoint-compress", following)
                self.assertIn("resumed from", resumed.stderr)
        self.assertTrue(all(share < 0.9 for share in sizes.values()), sizes)

    def test_other_settings_are_refused_with_5_and_named(self):
        rk(*BANK, "--checkpoint-dir", self.dir, "--max-walltime", "50ms")
        done = rk(*BANK, "--checkpoint-dir", self.dir, "--seed", "9")
        self.assertEqual(done.returncode, 5)
        self.assertIn("seed", done.stderr)
        self.assertEqual(rk(*BANK, "--checkpoint-dir", self.dir, "--seed", "9", "--fresh").returncode, 0)

    def test_a_second_writer_is_refused_with_6(self):
        process = self.running()
        done = rk(*BANK, "--checkpoint-dir", self.dir)
        self.stop_by(process, signal.SIGTERM)
        self.assertEqual(done.returncode, 6, done.stderr)

    def test_list_inspect_and_verify_describe_the_same_checkpoint(self):
        rk(*BANK, "--checkpoint-dir", self.dir, "--checkpoint-every", "20ms", "--max-walltime", "150ms", "--keep", "2")
        listed = valid_checkpoints(self.dir)
        self.assertTrue(1 <= len(listed) <= 2)
        newest = self.dir / listed[-1]["directory"]
        self.assertIn(newest.name, rk("list", self.dir).stdout)
        inspected = json.loads(rk("inspect", newest, "--json").stdout)
        self.assertEqual(inspected["manifest"]["prefix"], "bank")
        self.assertIn("bank", rk("inspect", newest).stdout)
        shard = next(newest.glob("*.rkcp"))
        self.assertIn("chunks", json.loads(rk("inspect", shard, "--json").stdout))
        verified = json.loads(rk("verify", self.dir, "--json").stdout)
        self.assertTrue(verified["ok"])
        self.assertEqual(verified["checkpoints"], len(listed))
        shard.write_bytes(shard.read_bytes()[:-1])
        for place in (self.dir, newest, shard):
            done = rk("verify", place, "--json")
            self.assertEqual(done.returncode, 4, place)
            self.assertFalse(json.loads(done.stdout)["ok"])


if __name__ == "__main__":
    unittest.main()

"""A running job seen from outside: rk top, /metrics, the textfile; and what happens to the job when a client misbehaves."""
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request
from pathlib import Path

SOURCE = Path(os.environ.get("RK_SOURCE") or Path(__file__).resolve().parents[2])
sys.path.insert(0, str(SOURCE / "tests" / "support"))
import prometheus_text  # noqa: E402

RK = os.environ.get("RK") or sys.exit("set RK to the rk program")
BANK = ["run", "bank", "--accounts", "500", "--deposits", "100", "--workers", "2", "--json"]
SHORT = [*BANK, "--transfers", "50000"]
# Too long to end by itself before it is told to.
ENDLESS = [*BANK, "--transfers", "3000000000"]


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def total(families, name, **labels):
    wanted = set(labels.items())
    return sum(v for (sample, have), v in families[name].samples.items() if sample == name and wanted <= set(have))


class Telemetry(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.environment = {**os.environ, "XDG_RUNTIME_DIR": str(self.folder)}
        self.sockets = self.folder / "ringkernel"

    def rk(self, *arguments, **more):
        return subprocess.run([RK, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False,
                              env=self.environment, **more)

    def start(self, *more):
        process = subprocess.Popen([RK, *ENDLESS, *map(str, more)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True, env=self.environment)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def started(self, *more):
        process = self.start(*more)
        self.assertTrue(wait_for((self.sockets / f"{process.pid}.sock").exists), "the job has no socket")
        return process

    def end(self, process):
        """Ends the job; its result as it told it."""
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 1, errors)  # stopped without a checkpoint directory
        return json.loads(output)

    def snapshot(self, *more):
        done = self.rk("top", "--json", *more)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    # --- rk top

    def test_the_only_job_is_found_and_its_counters_grow(self):
        process = self.started()
        first = self.snapshot()
        self.assertEqual((first["pid"], first["job"], first["executor"]), (process.pid, "bank", "host"))
        self.assertEqual(stat.S_IMODE(self.sockets.stat().st_mode), 0o700)

        def handled(reading):
            return sum(t["handled"] for t in reading["types"])

        self.assertTrue(wait_for(lambda: handled(self.snapshot()) > handled(first)))
        by_pid = self.snapshot(process.pid)
        by_path = self.snapshot(self.sockets / f"{process.pid}.sock")
        self.assertEqual(by_pid["pid"], by_path["pid"])
        self.assertEqual(len(by_path["workers"]), 2)
        account = by_path["types"][0]
        self.assertEqual(account["latency_us"]["count"], sum(n for _, n in account["latency_us"]["buckets"]))
        self.assertLessEqual(account["latency_us"]["p50"], account["latency_us"]["p99"])
        screen = self.rk("top", "--once").stdout
        self.assertIn(f"bank  pid {process.pid}  host  2 workers", screen)
        self.assertIn(account["type"], screen)
        self.assertNotIn("\x1b", screen)
        result = self.end(process)
        self.assertGreaterEqual(result["messages"], handled(by_path))
        self.assertEqual(list(self.sockets.iterdir()), [])

    def test_a_stream_ends_after_its_count_or_with_the_job(self):
        process = self.started()
        lines = self.rk("top", "--json", "--interval", "50ms", "--count", "3").stdout.splitlines()
        times = [json.loads(line)["time_us"] for line in lines]
        self.assertEqual(len(times), 3)
        self.assertEqual(times, sorted(set(times)))
        stream = subprocess.Popen([RK, "top", "--json", "--interval", "50ms"], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True, env=self.environment)
        self.addCleanup(stream.kill)
        json.loads(stream.stdout.readline())
        self.end(process)
        _, errors = stream.communicate(timeout=60)
        self.assertEqual(stream.returncode, 0, errors)
        self.assertIn("has ended", errors)

    def test_several_jobs_are_listed(self):
        pids = sorted(self.started().pid for _ in range(2))
        listed = self.snapshot()["jobs"]
        self.assertEqual(sorted(job["pid"] for job in listed), pids)
        for pid in pids:
            self.assertIn(str(pid), self.rk("top").stdout)

    def test_no_job_and_a_job_that_is_gone_exit_with_3(self):
        self.assertEqual(self.rk("top").returncode, 3)
        done = self.rk("top", "999999999")
        self.assertEqual(done.returncode, 3, done.stderr)

    def test_what_a_killed_job_leaves_is_cleaned_up(self):
        process = self.started()
        process.kill()
        process.communicate()
        left = self.sockets / f"{process.pid}.sock"
        self.assertTrue(left.exists())
        self.assertEqual(self.rk("top").returncode, 3)
        self.assertFalse(left.exists())

    def test_a_stale_socket_is_replaced_and_one_in_use_refused(self):
        place = self.folder / "place"
        process = self.start("--telemetry", place)
        self.assertTrue(wait_for(place.exists))
        second = self.rk(*SHORT, "--telemetry", place)
        self.assertEqual(second.returncode, 6, second.stderr)
        self.assertIn("in use", second.stderr)
        self.assertEqual(self.snapshot(place)["pid"], process.pid)
        process.kill()
        process.communicate()
        self.assertTrue(place.exists())
        self.assertEqual(self.rk(*SHORT, "--telemetry", place).returncode, 0)
        self.assertFalse(place.exists())
        place.write_text("mine")
        refused = self.rk(*SHORT, "--telemetry", place)
        self.assertEqual(refused.returncode, 2, refused.stderr)
        self.assertEqual(place.read_text(), "mine")

    def test_without_a_place_for_the_socket_the_job_runs(self):
        self.sockets.write_text("in the way")
        done = self.rk(*SHORT)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("will not find this job", done.stderr)
        done = self.rk(*SHORT, "--telemetry", "none")
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    # --- metrics

    def scrape(self, port):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
            self.assertEqual(answer.headers["Content-Type"], "text/plain; version=0.0.4; charset=utf-8")
            self.assertEqual(answer.headers["Connection"], "close")
            return prometheus_text.parse(answer.read().decode())

    def served(self, *more):
        for _ in range(5):  # somebody else may take the port first
            port = free_port()
            process = self.start("--metrics", f"127.0.0.1:{port}", *more)

            def answers(port=port):
                try:
                    return bool(self.scrape(port))
                except (urllib.error.URLError, ConnectionError):
                    return False

            if wait_for(lambda: answers() or process.poll() is not None) and process.poll() is None:
                return process, port
        return self.fail("no port")

    def test_two_scrapes_show_counters_that_grow(self):
        process, port = self.served()
        first = self.scrape(port)
        grown = {}

        def grows():
            grown.update(self.scrape(port))
            return total(grown, "ringkernel_messages_total") > total(first, "ringkernel_messages_total")

        self.assertTrue(wait_for(grows))
        for name, family in first.items():
            if family.kind == "counter":
                for key, value in family.samples.items():
                    self.assertGreaterEqual(grown[name].samples[key], value, key)
        for key, value in first["ringkernel_latency_seconds"].samples.items():
            self.assertGreaterEqual(grown["ringkernel_latency_seconds"].samples[key], value, key)
        self.assertIn(("ringkernel_info", (("executor", "host"), ("job", "bank"), ("workers", "2"))),
                      grown["ringkernel_info"].samples)
        result = self.end(process)
        self.assertLessEqual(total(grown, "ringkernel_messages_total"), result["messages"])

    def test_the_textfile_agrees_with_the_runs_own_report(self):
        file = self.folder / "bank.prom"
        for more in ([], ["--checkpoint-dir", self.folder / "ckpt", "--checkpoint-every-messages", "20000"]):
            done = self.rk(*SHORT, "--metrics-file", file, *more)
            self.assertEqual(done.returncode, 0, done.stderr)
            result = json.loads(done.stdout)
            families = prometheus_text.parse(file.read_text())
            handled = total(families, "ringkernel_messages_total")
            consumed = total(families, "ringkernel_host_messages_total", direction="received")
            dead = total(families, "ringkernel_dead_letters_total")
            self.assertEqual(handled + consumed + dead, result["messages"])
            self.assertEqual(total(families, "ringkernel_running"), 0)
            self.assertEqual(total(families, "ringkernel_checkpoints_total"), result["checkpoints"])
            self.assertEqual("ringkernel_checkpoint_age_seconds" in families, result["checkpoints"] > 0)
            count = sum(value for (name, _), value in families["ringkernel_latency_seconds"].samples.items()
                        if name.endswith("_count"))
            # samples stand for all messages but the newest few of each worker
            self.assertTrue(handled - 2 * 2 * 128 < count <= handled, (count, handled))
            self.assertFalse(Path(f"{file}.new").exists())

    def test_a_resumed_run_tells_what_it_does_too(self):
        folder, file = self.folder / "ckpt", self.folder / "bank.prom"
        process = self.start("--checkpoint-dir", folder, "--checkpoint-every", "20ms")
        self.assertTrue(wait_for(lambda: list(folder.glob("*/MANIFEST"))))
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 85)
        process = self.start("--checkpoint-dir", folder, "--metrics-file", file)
        self.assertTrue(wait_for(file.exists))
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        self.assertGreater(total(prometheus_text.parse(file.read_text()), "ringkernel_messages_total"), 0)

    def test_a_port_in_use_exits_with_6_and_says_what_to_do(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            done = self.rk(*SHORT, "--metrics", f"127.0.0.1:{taken.getsockname()[1]}")
        self.assertEqual(done.returncode, 6, done.stderr)
        self.assertIn("port is in use", done.stderr)
        done = self.rk(*SHORT, "--metrics", "somewhere")
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertEqual(self.rk(*SHORT, "--metrics-file", self.folder / "no" / "f.prom").returncode, 6)

    def test_clients_that_send_garbage_hang_or_go_away_do_not_disturb_the_job(self):
        process, port = self.served()
        silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(40)]
        for number, garbage in enumerate((b"\0\1\2\3\r\n\r\n", b"GET " + b"x" * 100000, b"\r\n" * 1000,
                                          b"GET /metrics HTTP/1.1\r\n\r\n")):
            for _ in range(10):
                with socket.create_connection(("127.0.0.1", port)) as rude:
                    try:
                        rude.sendall(garbage)
                    except OSError:
                        pass  # sent away meanwhile
                    if number == 3:
                        # gone with the answer on its way: a reset instead of an end
                        rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        for one in silent:
            one.close()

        def answers():
            try:
                return bool(self.scrape(port))
            except (urllib.error.URLError, ConnectionError):
                return False

        self.assertTrue(wait_for(answers))
        self.assertIsNone(process.poll())
        self.assertGreater(self.end(process)["messages"], 0)


if __name__ == "__main__":
    unittest.main()

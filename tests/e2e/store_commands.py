"""rk list, diff, prune and export from outside, on checkpoints that the examples made."""
import csv
import fcntl
import io
import json
import math
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
import wave
from datetime import datetime, timezone
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "oracle"))
import read_vti  # noqa: E402

RK = os.environ.get("RK") or sys.exit("set RK to the rk program")
BUILD = Path(os.environ.get("RK_BUILD") or sys.exit("set RK_BUILD to the build directory"))
CELLS = 200


def rk(*arguments):
    return subprocess.run([RK, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)


def cells(folder, version="v1", *more):
    """Runs to the end (or half-way) and leaves one more checkpoint; its state depends on nothing but that."""
    done = subprocess.run([BUILD / "layout_versions", version, folder, *more], capture_output=True, text=True,
                          timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def flip_a_bit(path):
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)


def damage(checkpoint):
    """Keeps every size: only reading every byte shows it."""
    flip_a_bit(next(checkpoint.glob("*.rkcp")))


def listed(folder, *more):
    return json.loads(rk("list", folder, "--json", *more).stdout)


def json_of(testcase, code, *arguments):
    done = rk(*arguments, "--json")
    testcase.assertEqual(done.returncode, code, done.stderr)
    return json.loads(done.stdout)


class Places(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.place = Path(folder.name)


class Saved(Places):
    """One finished run, and one that was left half-way."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.saved = Path(cls.folder.name) / "saved"
        cls.half = Path(cls.folder.name) / "half"
        cls.result = cells(cls.saved)
        cls.in_flight = cells(cls.half, "v1", "half-way")["in_flight"]
        cls.newest = cls.saved / listed(cls.saved)[-1]["directory"]


class Diff(Saved):
    def test_the_same_end_reached_by_way_of_a_restart_is_equal(self):
        other = shutil.copytree(self.half, self.place / "other")
        cells(other)
        diff = json_of(self, 0, "diff", self.saved, other)
        self.assertTrue(diff["equal"])
        self.assertEqual(diff["slots"]["same"], CELLS)
        # what differs all the same is told, and does not count
        self.assertGreater(diff["not_compared"]["slots_with_other_stamps"], 0)
        text = rk("diff", self.saved, other).stdout
        self.assertIn(f"equal: {CELLS} actors", text)
        self.assertIn("not compared", text)

    def test_another_state_is_found_by_region_and_exits_with_1(self):
        diff = json_of(self, 1, "diff", self.newest, self.half)
        self.assertFalse(diff["equal"])
        regions = {r["region"]: r for r in diff["regions"]}
        self.assertEqual(sorted(regions), ["count", "energy", "visits"])
        self.assertEqual(regions["count"]["type"], "test.cell")
        self.assertEqual(regions["count"]["elements"], regions["count"]["beyond_tolerance"])
        self.assertGreater(regions["energy"]["max_abs_difference"], 0)
        self.assertEqual(regions["energy"]["actors"], len(diff["slots"]["changed"]))
        self.assertGreater(self.in_flight, 0)
        self.assertEqual(diff["messages"], {"only_a": 0, "only_b": self.in_flight, "changed": 0})
        text = rk("diff", self.newest, self.half).stdout
        for part in ("test.cell.energy", f"{self.in_flight} only in B", "actors that differ"):
            self.assertIn(part, text)

    def test_a_tolerance_forgives_floats_and_nothing_else(self):
        exact = json_of(self, 1, "diff", self.saved, self.half)
        close = json_of(self, 1, "diff", self.saved, self.half, "--tolerance", "1e9")
        energy = [{r["region"]: r for r in d["regions"]}["energy"]["beyond_tolerance"] for d in (exact, close)]
        self.assertGreater(energy[0], 0)
        self.assertEqual(energy[1], 0)
        self.assertEqual(close["slots"]["field_bytes"], 0)
        self.assertEqual(close["slots"]["changed"], exact["slots"]["changed"])  # the counts are integers

    def test_another_layout_is_a_difference(self):
        other = shutil.copytree(self.saved, self.place / "other")
        cells(other, "v2")
        diff = json_of(self, 1, "diff", self.saved, other)
        self.assertEqual(diff["slots"]["other_layout"], CELLS)

    def test_wrong_places_and_numbers_have_their_exit_codes(self):
        self.assertEqual(rk("diff", self.saved, self.place / "nowhere").returncode, 3)
        self.assertEqual(rk("diff", self.saved, self.place).returncode, 3)
        self.assertEqual(rk("diff", self.saved, next(self.newest.glob("*.rkcp"))).returncode, 2)
        self.assertEqual(rk("diff", self.saved, self.saved, "--tolerance", "-1").returncode, 2)
        self.assertEqual(rk("diff", self.saved).returncode, 2)

    def test_a_damaged_checkpoint_exits_with_4_when_named_and_is_passed_over_when_not(self):
        copy = shutil.copytree(self.saved, self.place / "copy")
        cells(copy)
        newest = copy / listed(copy)[-1]["directory"]
        damage(newest)
        self.assertEqual(rk("diff", self.saved, newest).returncode, 4)
        done = rk("diff", self.saved, copy)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("WARNING: checkpoint passed over: " + newest.name, done.stderr)


class List(Places):
    def test_every_column_is_there_and_one_checkpoint_is_current(self):
        folder = self.place / "d"
        before = datetime.now(timezone.utc)
        for _ in range(3):
            cells(folder)
        entries = listed(folder)
        self.assertEqual([e["epoch"] for e in entries], [1, 2, 3])
        self.assertEqual([e["current"] for e in entries], [False, False, True])
        for entry in entries:
            made = datetime.fromisoformat(entry["hlc_time"].replace("Z", "+00:00"))
            self.assertLess(abs((made - before).total_seconds()), 3600)
            self.assertTrue(0 <= entry["age_s"] < 3600)
            self.assertEqual((entry["kind"], entry["parent"]), ("full", None))
        text = rk("list", folder).stdout.splitlines()
        self.assertEqual(text[0].split(), ["EPOCH", "HLC", "AGE", "SIZE", "KIND", "STATE", "CURRENT", "NAME"])
        self.assertEqual(len(text), 4)
        self.assertRegex(text[3], r"^ +3 .* full +valid +yes +" + re.escape(entries[2]["directory"]) + "$")

    def test_the_current_one_is_what_a_restore_takes(self):
        folder = self.place / "d"
        for _ in range(2):
            cells(folder)
        entries = listed(folder)
        damage(folder / entries[1]["directory"])
        deep = listed(folder, "--deep")
        self.assertEqual([e["state"] for e in deep], ["valid", "corrupt"])
        self.assertEqual([e["current"] for e in deep], [True, False])
        self.assertEqual(cells(folder)["from"], entries[0]["directory"])

    def test_one_checkpoint_can_be_listed(self):
        folder = self.place / "d"
        cells(folder)
        whole = listed(folder)
        self.assertEqual(listed(folder / whole[0]["directory"])[0]["directory"], whole[0]["directory"])


class Prune(Places):
    def make(self, count):
        folder = self.place / "d"
        for _ in range(count):
            cells(folder)
        return folder, [e["directory"] for e in listed(folder)]

    def test_keep_leaves_the_newest_and_a_dry_run_removes_nothing(self):
        folder, names = self.make(4)
        plan = json_of(self, 0, "prune", folder, "--keep", "2", "--dry-run")
        self.assertTrue(plan["dry_run"])
        self.assertEqual([e["directory"] for e in plan["removed"]], names[:2])
        self.assertEqual([e["directory"] for e in listed(folder)], names)
        done = json_of(self, 0, "prune", folder, "--keep", "2")
        self.assertEqual([e["directory"] for e in done["removed"]], names[:2])
        self.assertGreater(done["freed_bytes"], 0)
        self.assertEqual(done["kept"], names[2:])
        self.assertEqual([e["directory"] for e in listed(folder)], names[2:])
        self.assertIn("removed 0", rk("prune", folder, "--keep", "2").stdout)

    def test_age_spares_the_young_and_the_last_valid_one(self):
        folder, names = self.make(3)
        self.assertEqual(json_of(self, 0, "prune", folder, "--older-than", "10h")["removed"], [])
        done = json_of(self, 0, "prune", folder, "--older-than", "1ns", "--keep", "2")
        self.assertEqual(done["kept"], names[1:])
        done = json_of(self, 0, "prune", folder, "--older-than", "1ns")
        self.assertEqual(done["kept"], names[2:])

    def test_the_last_one_that_verifies_stays(self):
        folder, names = self.make(2)
        damage(folder / names[1])
        self.assertIn(names[0], json_of(self, 0, "prune", folder, "--keep", "1")["kept"])

    def test_other_applications_are_left_alone(self):
        folder, names = self.make(2)
        self.assertEqual(json_of(self, 0, "prune", folder, "--keep", "1", "--prefix", "other")["removed"], [])
        self.assertEqual([e["directory"] for e in listed(folder)], names)

    def test_wrong_usage_exits_with_2_and_a_missing_place_with_3(self):
        folder, names = self.make(1)
        for arguments in ([folder], [folder, "--keep", "0"], [folder, "--older-than", "soon"],
                          [folder / names[0], "--keep", "1"]):
            self.assertEqual(rk("prune", *arguments).returncode, 2, arguments)
        self.assertEqual(rk("prune", self.place / "nowhere", "--keep", "1").returncode, 3)
        self.assertFalse((self.place / "nowhere").exists())

    def test_a_directory_in_use_is_left_alone(self):
        folder, names = self.make(2)
        with open(folder / ".lock", "r+", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.assertEqual(rk("prune", folder, "--keep", "1").returncode, 6)
            self.assertEqual(rk("prune", folder, "--keep", "1", "--dry-run").returncode, 0)
        self.assertEqual([e["directory"] for e in listed(folder)], names)


class ExportCells(Saved):
    def test_csv_holds_every_number(self):
        done = rk("export", self.saved, "--to", "csv", "--output", "-")
        self.assertEqual(done.returncode, 0, done.stderr)
        rows = list(csv.DictReader(io.StringIO(done.stdout)))
        self.assertEqual([int(r["actor"]) for r in rows], list(range(CELLS)))
        self.assertEqual({r["type"] for r in rows}, {"test.cell"})
        self.assertEqual(sum(int(r["count"]) for r in rows), self.result["visits"])
        self.assertEqual(sum(float(r["energy"]) for r in rows), self.result["energy"])
        self.assertEqual(sum(float(v) for r in rows for v in r["visits"].split()), self.result["field"])

    def test_json_is_the_same(self):
        out = self.place / "out.json"
        self.assertEqual(rk("export", self.newest, "--to", "json", "--output", out).returncode, 0)
        actors = json.loads(out.read_text(encoding="utf-8"))["actors"]
        rows = list(csv.DictReader(io.StringIO(rk("export", self.saved, "--to", "csv", "--output", "-").stdout)))
        self.assertEqual([a["regions"]["count"] for a in actors], [int(r["count"]) for r in rows])
        self.assertEqual([a["regions"]["visits"]["values"] for a in actors],
                         [[float(v) for v in r["visits"].split()] for r in rows])

    def test_boxes_that_stand_alone_become_one_file_each(self):
        out = self.place / "vtk"
        done = json_of(self, 0, "export", self.saved, "--to", "vtk", "--output", out, "--region", "visits")
        self.assertEqual(done["files"][-1], str(out / "test.cell.visits.vtm"))
        self.assertEqual(len(done["files"]), CELLS + 1)
        values = [v for file in done["files"][:-1] for v in read_vti.read(file).arrays["visits"]]
        self.assertEqual(sum(values), self.result["field"])

    def test_what_is_not_there_exits_with_3_and_names_what_is(self):
        for option, there in (("--type", "test.cell"), ("--region", "energy")):
            done = rk("export", self.saved, "--to", "csv", "--output", "-", option, "nothing")
            self.assertEqual(done.returncode, 3)
            self.assertIn(there, done.stderr)

    def test_wrong_usage_exits_with_2(self):
        for more in (["--to", "png", "--output", "x"], ["--to", "csv"],
                     ["--to", "vtk", "--output", self.place / "v", "--region", "count"], ["--to", "vtk", "--output", "-"],
                     ["--to", "csv", "--output", "-", "--spacing", "0"],
                     ["--to", "csv", "--output", "-", "--spacing", "1,2"]):
            self.assertEqual(rk("export", self.saved, *more).returncode, 2, more)

    def test_the_bank_shows_its_balances(self):
        stopped = rk("run", "bank", "--accounts", "50", "--transfers", "3000000000", "--checkpoint-dir",
                     self.place / "bank", "--max-walltime", "100ms")
        self.assertEqual(stopped.returncode, 85, stopped.stderr)
        rows = list(csv.DictReader(io.StringIO(rk("export", self.place / "bank", "--to", "csv", "--output", "-").stdout)))
        self.assertEqual(len(rows), 50)
        self.assertGreater(len({int(r["balance"]) for r in rows}), 1)


class ExportRoom(Places):
    """A room cut into tiles of unequal size becomes one image, with the values of the run's own field."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        place = Path(cls.folder.name)
        with wave.open(str(place / "in.wav"), "wb") as sound:
            sound.setparams((1, 2, 8000, 0, "NONE", ""))
            sound.writeframes(struct.pack("<160h", *(int(9000 * math.sin(i * 0.3)) for i in range(160))))
        cls.saved = place / "saved"
        done = rk("run", "acoustics", "--input", place / "in.wav", "--output", place / "out.wav", "--room", "2x1.5x1.2",
                  "--source", "0.5,0.5,0.5", "--mic", "1.5,1,0.7", "--tile", "9x7x5", "--workers", "2",
                  "--checkpoint-dir", cls.saved, "--json")
        assert done.returncode == 0, done.stderr
        cls.run_summary = json.loads(done.stdout)

    def images(self, *more):
        out = self.place / "vtk"
        done = json_of(self, 0, "export", self.saved, "--to", "vtk", "--output", out, *more)
        return out, done

    def test_the_whole_room_is_one_image(self):
        out, done = self.images()
        self.assertEqual(done["files"], [str(out / "acoustics.tile.pressure.vti")])
        self.assertEqual(done["uncovered"], 0)
        image = read_vti.read(done["files"][0])
        grid = self.run_summary["grid"]
        self.assertEqual(image.extent, (0, grid[0], 0, grid[1], 0, grid[2]))
        self.assertEqual(image.origin, (0.0, 0.0, 0.0))
        self.assertEqual(len(set(image.spacing)), 1)
        self.assertAlmostEqual(grid[0] * image.spacing[0], 2.0, delta=image.spacing[0])
        self.assertEqual(list(image.arrays), ["pressure"])
        values = image.arrays["pressure"]
        self.assertEqual(len(values), grid[0] * grid[1] * grid[2])
        self.assertEqual(len(values), done["values"])
        self.assertGreater(max(map(abs, values)), 0)
        self.assertEqual(values, self.field_from_tiles(grid))

    def field_from_tiles(self, grid):
        """The same field, put together here from the tiles' own rows."""
        out = self.place / "tiles.json"
        self.assertEqual(rk("export", self.saved, "--to", "json", "--output", out).returncode, 0)
        field = [None] * (grid[0] * grid[1] * grid[2])
        for actor in json.loads(out.read_text(encoding="utf-8"))["actors"]:
            tile = actor["regions"]["pressure"]
            values = iter(tile["values"])
            (sx, sy, sz), (ox, oy, oz) = tile["shape"], tile["origin"]
            for z in range(sz):
                for y in range(sy):
                    for x in range(sx):
                        # decimal text that reads back to the same 32 bits
                        field[ox + x + grid[0] * (oy + y + grid[1] * (oz + z))] = read_vti.as_float32(next(values))
        self.assertNotIn(None, field)
        return field

    def test_pieces_and_their_index_are_the_same_image(self):
        out, done = self.images("--pieces")
        index = out / "acoustics.tile.pressure.pvti"
        self.assertEqual(done["files"][-1], str(index))
        whole_out, whole = self.images()
        whole = read_vti.read(whole["files"][0])
        parts = read_vti.read_index(index)
        self.assertGreater(len(parts.pieces), 1)
        self.assertEqual(parts.extent, whole.extent)
        self.assertEqual(parts.spacing, whole.spacing)
        self.assertEqual(read_vti.stitch(parts)["pressure"], whole.arrays["pressure"])

    def test_another_spacing_can_be_given(self):
        _, done = self.images("--spacing", "0.5,1,2")
        self.assertEqual(read_vti.read(done["files"][0]).spacing, (0.5, 1.0, 2.0))


if __name__ == "__main__":
    unittest.main()

"""From the collector to the aggregator, whatever happens: at the end each row was counted once, or is in what
`poise losses` lists, or the log shows a fork."""
import json
import pathlib
import random
import re
import shutil
import subprocess
import time

import system
from system import COLLECTOR, POISE, Aggregator, Case, run

CARD = """
scorecard: plant
period: year
perspectives:
  - id: internal
    objectives:
      - id: quality
        measures:
          - {id: rows, input: m, aggregate: count, score: {linear: {from: 0, to: 100000}}}
          - {id: total, input: m, aggregate: sum, score: {linear: {from: 0, to: 100000}}}
          - {id: top, input: m, aggregate: max, score: {linear: {from: 0, to: 100000}}}
          - {id: least, input: m, aggregate: min, score: {linear: {from: 0, to: 100000}}}
"""
COLLECT = """
producer: {producer}
aggregator: {ingest}
routes: {routes}
spool: {spool}
spool_max: 1MiB
keep_acked: {keep_acked}
numbers: {spool}.prom
when_full: {when_full}
dead_letters: dead-{spool}.jsonl
batch_rows: 100
sources:
  - csv: {{path: {input}}}
    time: {{column: at, format: rfc3339}}
    org: 'line-{{line}}'
    {key}
    measurements: [{{measure: m, value: {{column: n}}}}]
"""
KEY = "key: 'a-rather-long-key-so-that-few-rows-fill-the-spool-{n}'"
MANY = 40000  # rows, which are three times what the spool holds


def lines(start, count):
    return "".join(f"2026-03-{at % 28 + 1:02d}T10:00:00Z,line-{at % 7},{at}\n" for at in range(start, start + count))


class Delivery(Case):
    def setUp(self):
        super().setUp()
        self.card = self.write("plant.yaml", CARD)
        self.aggregator = Aggregator(self.folder, [self.card], settings="backups: backups\ncheckpoint: 300ms")
        self.input("input.csv", 0, 0)

    def input(self, name, start, count):
        path = self.folder / name
        if not path.exists():
            path.write_text("at,line,n\n")
        with path.open("a") as file:
            file.write(lines(start, count))

    def configure(self, name="collect.yaml", **settings):
        settings = {"producer": "line", "ingest": self.aggregator.ingest, "routes": [], "spool": "spool",
                    "when_full": "block", "keep_acked": "7d", "input": "input.csv", "key": KEY, **settings}
        settings["routes"] = json.dumps(settings["routes"])
        return self.write(name, COLLECT.format(**settings))

    def collect(self, config, timeout="60s", check=0):
        return run(COLLECTOR, "--config", config, "--once", "--timeout", timeout, check=check)

    def fill(self, config):
        """The aggregator is away: what is read goes into the spool, until that is full."""
        return self.collect(config, timeout="1s", check=2)

    def values(self, aggregator=None):
        states = (aggregator or self.aggregator).get("plant")
        found = {state["node"].split("/")[-1]: state["value"] for state in states if state["kind"] == "measure"}
        return {name: found[name] or 0 for name in found}

    def losses(self):
        text = run(POISE, "losses", "--from", self.aggregator.query, "--json").stdout
        return [json.loads(line) for line in text.splitlines()]

    def lost(self):
        return sum(loss["rows"] for loss in self.losses())

    def stats(self, aggregator=None):
        return json.loads(run(POISE, "stats", "--from", (aggregator or self.aggregator).query, "--json").stdout)

    def segments(self, spool="spool"):
        return sorted((self.folder / spool).glob("*.seg"))

    def number(self, name, spool="spool"):
        """What the collector's file of numbers says."""
        return int(re.search(rf"(?m)^poise_collector_{name} (\d+)$", (self.folder / f"{spool}.prom").read_text())[1])

    # ---- what was acknowledged ----

    def test_kept_as_long_as_the_file_says(self):
        self.aggregator.start()
        self.input("input.csv", 0, 8000)
        for spool, keep in (("spool", "7d"), ("hasty", "1ms")):
            self.collect(self.configure(producer=spool, spool=spool, keep_acked=keep))
            self.assertEqual(self.number("spool_bytes", spool), sum(path.stat().st_size for path in self.segments(spool)))
        self.assertGreater(len(self.segments()), 2)
        self.assertLess(len(self.segments("hasty")), 3)

    # ---- a full spool ----

    def outage(self, when_full):
        """As an hour without the aggregator; in between it comes back for a moment."""
        config = self.configure(when_full=when_full)
        self.aggregator.start()
        self.input("input.csv", 0, 5000)
        self.collect(config)
        self.aggregator.stop()
        self.input("input.csv", 5000, MANY - 5000)
        done = self.fill(config)
        size = sum(path.stat().st_size for path in self.segments())
        self.assertLess(size, 1.2 * 2 ** 20)
        self.aggregator.start()
        self.collect(config, check=None)
        return done

    def test_block_loses_nothing(self):
        done = self.outage("block")
        self.assertIn("sources are not read until there is room", done.stderr)
        self.assertEqual(self.values(), {"rows": MANY, "total": MANY * (MANY - 1) / 2, "top": MANY - 1, "least": 0})
        self.assertEqual(self.losses(), [])
        self.assertIn("nothing was lost", run(POISE, "losses", "--from", self.aggregator.query).stdout)

    def test_drop_oldest(self):
        done = self.outage("drop_oldest")
        self.assertRegex(done.stderr, 'spool full" lost=oldest')
        values, losses = self.values(), self.losses()
        self.assertEqual(len(losses), 1)
        self.assertEqual(losses[0]["reason"], "oldest")
        self.assertGreater(losses[0]["rows"], MANY / 4)
        self.assertEqual(values["rows"] + losses[0]["rows"], MANY)
        self.assertEqual((values["top"], values["least"]), (MANY - 1, 0))
        first = 5000  # what is lost is one stretch behind what was acknowledged
        missing = sum(range(first, first + losses[0]["rows"]))
        self.assertEqual(values["total"] + missing, MANY * (MANY - 1) / 2)
        self.assertEqual(losses[0]["from"], "2026-03-01T10:00:00.000Z")
        self.assertEqual(losses[0]["to"], "2026-03-28T10:00:00.000Z")
        stats = self.stats()
        self.assertEqual((stats["poise_losses"], stats["poise_rows_lost"]), (1, losses[0]["rows"]))
        self.aggregator.kill()
        self.aggregator.start()
        self.assertEqual(self.losses(), losses)
        self.assertEqual(self.values(), values)
        self.assertRegex(run(POISE, "losses", "--from", self.aggregator.query).stdout,
                         rf"line +oldest +{losses[0]['rows']} .*\n{losses[0]['rows']} measurements lost\n$")

    def test_drop_newest(self):
        done = self.outage("drop_newest")
        self.assertRegex(done.stderr, 'spool full" lost=newest')
        values, losses = self.values(), self.losses()
        self.assertEqual({loss["reason"] for loss in losses}, {"newest"})
        self.assertGreater(self.lost(), MANY / 4)
        self.assertEqual(values["rows"] + self.lost(), MANY)
        self.assertEqual((values["top"], values["least"]), (values["rows"] - 1, 0))

    def restart_all(self, when_full, seed):
        """Both are killed again and again while rows come and go; the spool is full most of the time."""
        chance = random.Random(seed)
        config = self.configure(when_full=when_full)
        total = 0
        for _ in range(6):
            count = chance.randrange(2000, 12000)
            self.input("input.csv", total, count)
            total += count
            up = chance.random() < 0.5
            if up:
                self.aggregator.start()
            collector = self.spawn(COLLECTOR, "--config", config, stderr=subprocess.DEVNULL)
            time.sleep(chance.uniform(0.02, 0.4))
            if up and chance.random() < 0.7:
                self.aggregator.kill()
                time.sleep(chance.uniform(0, 0.1))
            collector.kill()
            collector.wait()
            if up and self.aggregator.process.poll() is None:
                self.aggregator.kill()
        self.aggregator.start()
        self.collect(config, check=None)
        values, lost = self.values(), self.lost()
        self.assertEqual(values["rows"] + lost, total)
        if not lost:
            self.assertEqual(values["total"], total * (total - 1) / 2)
        self.assertEqual(self.stats()["poise_forks"], 0)

    def test_killed_while_the_oldest_go(self):
        self.restart_all("drop_oldest", 1)

    def test_killed_while_the_newest_go(self):
        self.restart_all("drop_newest", 2)

    def test_losses_come_again_after_a_restore(self):
        """A store that goes back behind a loss is told it again, with the batches around it; what it had and lacks
        now was dropped, too, where it stood in the same segment."""
        config = self.configure(when_full="drop_oldest")
        self.aggregator.start()
        self.input("input.csv", 0, 1000)
        self.collect(config)
        run(POISE, "backup", "--from", self.aggregator.query, "monday")
        self.input("input.csv", 1000, 1000)
        self.collect(config)
        self.aggregator.stop()
        self.input("input.csv", 2000, MANY - 2000)
        self.fill(config)
        self.aggregator.start()
        self.collect(config, check=None)
        before, lost = self.values(), self.lost()
        self.assertEqual(before["rows"] + lost, MANY)
        self.aggregator.kill()
        shutil.rmtree(self.folder / "store")
        run(POISE, "restore", self.folder / "backups" / "monday", self.folder / "store")
        self.aggregator.start()
        self.assertEqual(self.values()["rows"], 1000)
        self.input("input.csv", MANY, 100)
        self.collect(config, check=None)
        self.assertEqual(self.values()["rows"] + self.lost(), MANY + 100)

    # ---- copies and namesakes ----

    def fork_seen(self, done, doubt=0):
        self.assertRegex(done.stderr, f"fork: the spool was copied or restored.* in_doubt={doubt}")
        self.assertEqual(self.stats()["poise_forks"], 1)
        self.assertRegex(self.aggregator.log.read_text(), r"warn \"?fork\"? producer=line epoch=[0-9a-f]{16} goes_on_as=[0-9a-f]{16}")

    def test_a_cloned_collector_goes_on_by_itself(self):
        config = self.configure()
        self.aggregator.start()
        self.input("input.csv", 0, 500)
        self.collect(config)
        shutil.copytree(self.folder / "spool", self.folder / "clone")
        self.input("input.csv", 500, 300)
        self.collect(config)
        clone = self.configure("clone.yaml", spool="clone", input="other.csv")
        self.input("other.csv", 90000, 300)
        self.fork_seen(self.collect(clone))
        self.assertEqual((self.number("forks"), self.number("forks", "clone")), (0, 1))
        self.input("input.csv", 800, 100)
        self.input("other.csv", 90300, 100)
        self.collect(config)
        self.collect(clone)
        self.assertEqual(self.values()["rows"], 1300)
        self.assertEqual(self.values()["total"], 900 * 899 / 2 + sum(range(90000, 90400)))
        self.assertEqual((self.losses(), self.stats()["poise_forks"]), ([], 1))

    def test_a_clone_that_was_quicker(self):
        """What both have counts once, though the one that comes later does not know that it was sent."""
        config = self.configure(key="")
        self.input("input.csv", 0, 500)
        self.fill(config)
        shutil.copytree(self.folder / "spool", self.folder / "clone")
        clone = self.configure("clone.yaml", spool="clone", input="other.csv", key="")
        self.input("other.csv", 90000, 300)
        self.input("input.csv", 500, 200)
        self.aggregator.start()
        self.collect(clone)
        self.assertEqual(self.values()["rows"], 800)
        self.fork_seen(self.collect(config))
        self.assertEqual(self.values()["rows"], 1000)
        self.assertEqual(self.values()["total"], 700 * 699 / 2 + sum(range(90000, 90300)))
        self.assertEqual(self.losses(), [])

    def test_what_nobody_knows_any_more_is_in_doubt(self):
        """The aggregator was restarted, and remembers only the last batch: no row counts twice, and those that may
        lack show, until the operator replays them. (Here he ought not to: the keys save him.)"""
        config = self.configure()
        self.input("input.csv", 0, 500)
        self.fill(config)
        shutil.copytree(self.folder / "spool", self.folder / "clone")
        self.aggregator.start()
        clone = self.configure("clone.yaml", spool="clone")
        self.collect(clone)
        self.input("input.csv", 500, 10)
        self.collect(clone)
        self.aggregator.kill()
        self.aggregator.start()
        self.input("input.csv", 510, 10)
        done = self.collect(config, check=1)
        self.fork_seen(done, doubt=500)
        self.assertEqual([(loss["reason"], loss["rows"]) for loss in self.losses()], [("forked", 500)])
        letters = (self.folder / "dead-spool.jsonl").read_text().splitlines()
        self.assertEqual(len(letters), 500)
        self.assertTrue(json.loads(letters[0])["reason"].startswith("in_doubt: "))
        self.assertEqual(self.values()["rows"], 520)
        run(COLLECTOR, "--config", config, "--replay", "--timeout", "60s")
        self.assertEqual(self.values()["rows"], 520)

    def test_a_copy_of_a_copy_over_a_restart(self):
        """Two copies have the same batches, and the aggregator tells the second less of what it has than it told the
        first: these batches have one name for all that."""
        config = self.configure(key="")
        self.aggregator.start()
        self.input("input.csv", 0, 500)
        self.collect(config)
        self.aggregator.stop()
        shutil.copytree(self.folder / "spool", self.folder / "second")
        second = self.configure("second.yaml", spool="second", input="other.csv", key="")
        self.input("other.csv", 90000, 300)
        self.fill(second)
        shutil.copytree(self.folder / "second", self.folder / "third")
        third = self.configure("third.yaml", spool="third", input="other.csv", key="")
        self.aggregator.start()
        self.input("input.csv", 500, 300)
        self.collect(config)
        self.fork_seen(self.collect(second))
        self.aggregator.kill()
        self.aggregator.start()
        self.assertRegex(self.collect(third, check=1).stderr, "fork: .* in_doubt=200")
        self.assertEqual(self.values()["rows"], 1100)
        self.assertEqual(self.values()["total"], 800 * 799 / 2 + sum(range(90000, 90300)))

    def test_two_clones_at_a_time(self):
        """Both run, and take the connection from each other."""
        config = self.configure(key="")
        self.input("input.csv", 0, 500)
        self.fill(config)
        shutil.copytree(self.folder / "spool", self.folder / "clone")
        clone = self.configure("clone.yaml", spool="clone", input="other.csv", key="")
        self.aggregator.start()
        self.input("other.csv", 0, 0)
        both = [self.spawn(COLLECTOR, "--config", path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for path in (config, clone)]
        for at in range(10):
            self.input("input.csv", 500 + 50 * at, 50)
            self.input("other.csv", 90000 + 50 * at, 50)
            time.sleep(0.05)
        for process in both:
            process.terminate()
            self.assertEqual(process.wait(60), 0)
        for path in (config, clone):
            self.collect(path)
        self.assertEqual(self.values()["rows"], 1500)
        self.assertEqual(self.values()["total"], 1000 * 999 / 2 + sum(range(90000, 90500)))
        self.assertEqual(self.losses(), [])
        self.assertGreaterEqual(self.stats()["poise_forks"], 1)

    def test_killed_while_it_takes_a_new_epoch(self):
        chance = random.Random(5)
        config = self.configure(key="")
        self.input("input.csv", 0, 500)
        self.fill(config)
        shutil.copytree(self.folder / "spool", self.folder / "clone")
        clone = self.configure("clone.yaml", spool="clone", input="other.csv", key="")
        self.input("other.csv", 90000, 300)
        self.input("input.csv", 500, 2000)
        self.aggregator.start()
        self.collect(clone)
        for _ in range(8):
            collector = self.spawn(COLLECTOR, "--config", config, stderr=subprocess.DEVNULL)
            time.sleep(chance.uniform(0.005, 0.06))
            collector.kill()
            collector.wait()
        self.collect(config)
        self.assertEqual(self.values()["rows"], 2800)
        self.assertEqual(self.values()["total"], 2500 * 2499 / 2 + sum(range(90000, 90300)))
        self.assertEqual((self.losses(), self.stats()["poise_forks"]), ([], 1))

    def test_a_spool_restored_from_an_older_copy(self):
        """Rows are read again from where the copy was: those with a key count once."""
        config = self.configure()
        self.aggregator.start()
        self.input("input.csv", 0, 500)
        self.collect(config)
        shutil.copytree(self.folder / "spool", self.folder / "old")
        for start, count in [(500, 50), (550, 950)]:  # not the batches that the copy will make of these rows
            self.input("input.csv", start, count)
            self.collect(config)
        shutil.rmtree(self.folder / "spool")
        (self.folder / "old").rename(self.folder / "spool")
        self.input("input.csv", 1500, 100)
        self.fork_seen(self.collect(config))
        self.assertEqual(self.values()["rows"], 1600)
        self.assertEqual(self.losses(), [])

    def test_two_collectors_of_one_name(self):
        """Each has an epoch of its own: both count, and neither hides the other."""
        self.aggregator.start()
        self.input("input.csv", 0, 500)
        self.input("second.csv", 10000, 700)
        first = self.configure()
        second = self.configure("second.yaml", spool="second", input="second.csv")
        self.collect(first)
        self.collect(second)
        self.input("input.csv", 500, 100)
        self.collect(first)
        self.assertEqual(self.values()["rows"], 1300)
        self.assertEqual(self.stats()["poise_producers"], 2)
        self.assertEqual(self.stats()["poise_forks"], 0)

    # ---- routes ----

    def other(self, name):
        folder = self.folder / name
        folder.mkdir()
        aggregator = Aggregator(folder, [self.card])
        self.addCleanup(lambda: aggregator.process and aggregator.process.poll() is None and aggregator.kill())
        return aggregator.start()

    def test_the_next_route(self):
        dead = f"ipc://{self.folder}/nobody"
        config = self.configure(ingest=dead, routes=[self.aggregator.ingest])
        self.aggregator.start()
        self.input("input.csv", 0, 500)
        self.collect(config)
        self.assertEqual(self.values()["rows"], 500)

    def test_a_route_to_another_store(self):
        self.aggregator.start()
        other = self.other("other")
        self.input("input.csv", 0, 500)
        self.collect(self.configure())
        self.input("input.csv", 500, 500)
        done = self.collect(self.configure(ingest=other.ingest), timeout="3s", check=2)
        self.assertRegex(done.stderr, "belongs to (another )?store")
        self.collect(self.configure(ingest=other.ingest, routes=[self.aggregator.ingest]))
        self.assertEqual(self.values()["rows"], 1000)
        self.assertEqual(self.stats(other)["poise_rows_received"], 0)
        run(POISE, "send", "m", "5", "--to", f"ipc://{self.folder}/nobody", "--to", self.aggregator.ingest, "--spool",
            self.folder / "cli", "--time", "2026-03-28T11:00:00Z")
        self.assertEqual(self.values()["rows"], 1001)

    def test_no_route_leads_home(self):
        self.aggregator.start()
        first, second = self.other("first"), self.other("second")
        self.input("input.csv", 0, 500)
        self.collect(self.configure())
        self.input("input.csv", 500, 500)
        done = self.collect(self.configure(ingest=first.ingest, routes=[second.ingest]), timeout="10s", check=2)
        self.assertRegex(done.stderr, "belongs to (another )?store")
        self.assertEqual(self.values()["rows"], 500)

    # ---- a disk that gives back other bytes ----

    def flip(self, path, at):
        data = bytearray(path.read_bytes())
        data[at] ^= 0x10
        path.write_bytes(data)

    def damaged(self, which, where, lost_batches):
        config = self.configure()
        self.input("input.csv", 0, 10000)
        self.fill(config)
        segments = self.segments()
        self.assertGreater(len(segments), 2)
        path = segments[which]
        self.flip(path, where if where >= 0 else path.stat().st_size + where)
        self.aggregator.start()
        done = self.collect(config, check=1 if lost_batches else 0)
        values, losses = self.values(), self.losses()
        self.assertEqual(values["rows"], 10000 - 100 * lost_batches)
        self.assertEqual([(loss["reason"], loss["last"] - loss["first"] + 1, loss["rows"]) for loss in losses],
                         [("damaged", lost_batches, None)] if lost_batches else [])
        self.assertEqual(pathlib.Path(f"{path}.bad").exists(), lost_batches > 0)
        if lost_batches:
            self.assertRegex(done.stderr, f'spool damaged" lost=damaged .* measurements=unknown .*{path.name}.bad')
        self.assertEqual(self.stats()["poise_forks"], 0)

    def test_flip_in_the_first_segment(self):
        self.damaged(0, 5000, 1)

    def test_flip_in_a_middle_segment(self):
        self.damaged(1, 100000, 1)

    def test_flip_in_the_last_segment(self):
        self.damaged(-1, 100, 1)

    def test_flip_in_the_last_record(self):
        """It has the mark of how far was read, so what it held is read again."""
        self.damaged(-1, -20, 0)

    def test_flip_in_what_was_acknowledged(self):
        config = self.configure()
        self.aggregator.start()
        self.input("input.csv", 0, 1000)
        self.collect(config)
        run(POISE, "backup", "--from", self.aggregator.query, "monday")
        self.input("input.csv", 1000, 8000)
        self.collect(config)
        segments = self.segments()
        self.assertGreater(len(segments), 2)
        self.flip(segments[1], 5000)
        self.input("input.csv", 9000, 500)
        self.collect(config)  # nobody wants it, so it does not matter
        self.assertEqual(self.values()["rows"], 9500)
        self.aggregator.kill()
        shutil.rmtree(self.folder / "store")
        run(POISE, "restore", self.folder / "backups" / "monday", self.folder / "store")
        self.aggregator.start()
        self.input("input.csv", 9500, 500)
        self.collect(config, check=None)
        self.assertEqual(self.values()["rows"], 9900)
        self.assertEqual([loss["reason"] for loss in self.losses()], ["damaged"])


if __name__ == "__main__":
    system.main()

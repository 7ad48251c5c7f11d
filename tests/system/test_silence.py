"""A source that falls silent is reported, and so is its return."""
import system
from system import Aggregator, Case
from wire import Peer

CARD = """
scorecard: plant
perspectives:
  - id: internal
    objectives:
      - id: quality
        measures: [{id: defects, aggregate: sum, score: {linear: {from: 20, to: 0}}}]
"""


class Silence(Case):
    def send_from(self, *sources):
        self.send("".join(f"2026-03-01T00:00:00Z,defects,,1,,,,{source},\n" for source in sources))

    def silent(self):
        peer = Peer(self.aggregator.query)
        number = peer.stats()["poise_sources_silent"]
        peer.close()
        return number

    def log_size(self):
        return self.aggregator.log.stat().st_size

    def test_silent_and_back(self):
        self.aggregator = Aggregator(self.folder, [self.write("plant.yaml", CARD)], clock="wall",
                                     settings="silent_after: 1s").start()
        self.send_from("mes", "")
        for source in ("mes", '""'):
            said = self.aggregator.wait_log(f"source_silent source={source} since=20..-..-..T..:..:..\\....Z")
            self.assertEqual(said.count(f"source_silent source={source} "), 1)
        self.assertEqual(self.silent(), 2)
        here = self.log_size()
        self.send_from("mes")
        self.aggregator.wait_log("source_back source=mes since=.*Z", here)
        self.aggregator.kill()
        here = self.log_size()
        self.aggregator.start()
        self.aggregator.wait_log("source_silent source=mes since=.*Z", here)
        self.aggregator.wait_log('source_silent source="" since=.*Z', here)
        self.assertEqual(self.silent(), 2)
        self.aggregator.stop()


if __name__ == "__main__":
    system.main()

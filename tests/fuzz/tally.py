"""What was answered, for the summary: statuses, the slowest answer, what was excused."""

import collections
import json
import threading


class Tally:
    def __init__(self):
        self.lock = threading.Lock()
        self.statuses = collections.defaultdict(collections.Counter)
        self.other_methods, self.excused = collections.Counter(), collections.Counter()
        self.slowest, self.slowest_of = 0.0, ""

    def answer(self, label, response):
        with self.lock:
            self.statuses[label][response.status_code] += 1
            if response.elapsed > self.slowest:
                self.slowest, self.slowest_of = response.elapsed, label

    def other_method(self, response):
        """The answer to a method that the path does not have."""
        with self.lock:
            self.other_methods[response.status_code] += 1

    def excuse(self, label, why):
        with self.lock:
            self.excused[f"{label}: {why}"] += 1

    def write(self, path, without_success):
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"operations": self.statuses, "other_methods": self.other_methods, "excused": self.excused,
                       "slowest": {"seconds": self.slowest, "operation": self.slowest_of},
                       "without_success": without_success}, file, indent=1)

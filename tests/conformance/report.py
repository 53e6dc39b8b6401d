"""One line a promise."""

import contextlib
import threading
import traceback

from client import Broken


class Report:
    """Counts and prints; safe to share between threads."""

    def __init__(self, servers, out):
        self.servers, self.out, self.lock = servers, out, threading.Lock()
        self.passed = self.failed = self.skipped = 0

    def say(self, line):
        """Prints one line at once."""
        with self.lock:
            print(line, file=self.out, flush=True)

    def total(self):
        """The last line."""
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.passed} passed, {self.failed} failed{skipped}"

    @contextlib.contextmanager
    def promise(self, name):
        """What runs inside keeps the promise, or breaks it by raising."""
        for server in self.servers:
            server.local.last = None
        try:
            yield
        except Exception as error:  # noqa: BLE001: whatever goes wrong breaks this promise and no other
            with self.lock:
                self.failed += 1
            why = traceback.format_exc(limit=-3)
            if isinstance(error, Broken):
                why = str(error)
            elif isinstance(error, NameError):
                why = "not tried: it needs what a broken promise above would have given"
            answer = getattr(error, "answer", None)
            answers = [answer] if answer else [server.last() for server in self.servers]
            seen = [str(answer) for answer in answers if answer]
            self.say("\n".join([f"BROKEN  {name}", f"    {why}"] + seen))
        else:
            with self.lock:
                self.passed += 1
            self.say(f"ok      {name}")

    def skip(self, name, why):
        """Says that a promise was not tried."""
        with self.lock:
            self.skipped += 1
        self.say(f"skip    {name} ({why})")

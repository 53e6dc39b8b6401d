#!/usr/bin/env python3
"""Walks the whole passenger contract of a running gateway, as a client in another language would.

One line a promise: `ok`, `BROKEN` with the request and its answer, or `skip` with the reason. Ends with
`N passed, M failed` and exit code 0, or 1 when a promise was broken. Needs Python 3.9 and the sandbox on.
"""

import argparse
import os
import sys
import threading
import time

sys.dont_write_bytecode = True

import catalogue  # noqa: E402
import driving  # noqa: E402
import refusing  # noqa: E402
import riding  # noqa: E402
import signing_in  # noqa: E402
from client import Broken, Deadline, Server, need  # noqa: E402
from passenger import Driver, Passenger  # noqa: E402
from report import Report  # noqa: E402


class World:
    """What every chapter needs."""

    def __init__(self, options, out):
        self.deadline = Deadline(options.deadline)
        self.server = Server(options.url, self.deadline)
        self.internal = Server(options.internal, self.deadline) if options.internal else None
        self.token, self.gentle, self.accept_probability = options.token, options.gentle, options.accept_probability
        self.report = Report([server for server in (self.server, self.internal) if server], out)
        self.stranger = None

    def driver(self, name):
        """A driver of the internal listener."""
        return Driver(self.internal, self.token, name)

    def sleep(self, seconds):
        """Waits for a life to end, where nothing can be asked before."""
        time.sleep(self.deadline.left(seconds))


def heartbeat(world):
    """Somebody follows a long ride; in a thread of its own, since it takes a while."""
    with world.report.promise("a stream has a heartbeat comment within 15 s, and is never silent for longer"):
        p = Passenger(world.server).sign_in()
        ride_id = p.ride({"lat": 40.7033, "lng": -74.0170}, {"lat": 40.8690, "lng": -73.9210})["id"]
        stream = p.follow(ride_id, patience=40.0)
        opened = heard = time.monotonic()
        beats, ended = 0, True
        for line in stream.lines():
            now = time.monotonic()
            need(now - heard <= 17, "silence for more than 15 s")
            heard, beats = now, beats + line.startswith(":")
            if beats or now - opened > 17:
                ended = False
                break
        stream.close()
        # A ride that is over before the first beat was never silent.
        need(beats or ended, "no comment in 17 s")


def chapters(world):
    """Every chapter, one after the other; one that stops does not stop the next."""
    world.stranger = Passenger(world.server).sign_in()
    beat = threading.Thread(target=heartbeat, args=[world], daemon=True)
    beat.start()
    for chapter in [signing_in, catalogue, riding, refusing]:
        read(world, chapter)
    if world.internal is None:
        world.report.skip("rides driven by hand, cancellation fees", "give --internal and --token")
    elif world.gentle:
        world.report.skip("rides driven by hand, cancellation fees", "--gentle: the fleet would take them")
    else:
        read(world, driving, without_fleet)
    beat.join(45)
    for server in world.report.servers:
        with world.report.promise(f"every one of {server.answers} answers of {server.host}:{server.port} had the common form"):
            need(not server.faults, f"{len(server.faults)} faults, first:\n" + "\n".join(server.faults[:3]))


def read(world, chapter, around=lambda _, walk: walk()):
    """One chapter to its end."""
    try:
        around(world, lambda: chapter.walk(world))
    except Exception as error:  # noqa: BLE001: what stops a chapter is a broken promise like any other
        with world.report.promise(f"the chapter `{chapter.__name__}` can be walked to its end"):
            raise Broken(repr(error)) from error


def without_fleet(world, walk):
    """The fleet would be there first: it takes no new ride meanwhile."""
    def take(accept_probability):
        world.server.send("PUT", "/sandbox/fleet", {"accept_probability": accept_probability}).expect(204)
    take(0.0)
    try:
        walk()
    finally:
        take(world.accept_probability)


def give_up(report):
    """The last resort, some time after the deadline: something hangs that no time-out ended."""
    report.say("BROKEN  the walk ends in time")
    report.failed += 1
    report.say(report.total())
    os._exit(1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("url", help="public listener, as http://127.0.0.1:8080")
    parser.add_argument("--internal", help="internal listener, as http://127.0.0.1:8081: also drives rides by hand")
    parser.add_argument("--token", default="local-dev-token", help="service token of the internal listener")
    parser.add_argument("--gentle", action="store_true", help="leave fleet and partners as they are (others use them)")
    parser.add_argument("--accept-probability", type=float, default=0.9, help="what the fleet has afterwards")
    parser.add_argument("--deadline", type=float, default=240.0, help="seconds the whole walk may take")
    options = parser.parse_args()
    try:
        world = World(options, sys.stdout)
        watchdog = threading.Timer(options.deadline + 30, give_up, [world.report])
        watchdog.daemon = True
        watchdog.start()
        chapters(world)
    except Broken as error:
        print(f"BROKEN  the walk can begin\n    {error}")
        print("0 passed, 1 failed")
        return 1
    print(world.report.total())
    return 1 if world.report.failed else 0


if __name__ == "__main__":
    sys.exit(main())

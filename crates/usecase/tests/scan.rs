//! Scans of everything, in real databases.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test says what went wrong by panicking")]

mod consistent;

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use consistent::{World, database};
use entity::{
    DriverRide, Finding, Scan, ScanCounts, StoreError,
    scan::LEASE_MS,
    value::{DriverId, Millis, Shard},
};
use futures_util::future::join_all;
use runtime::{
    Clock,
    task::{Shutdown, Supervisor},
};
use usecase::consistency::{Begun, Config, Consistency, Repaired, State, Worked};

/// Nobody waits for anybody.
const AT_ONCE: Config = Config { share: 1.0, page: 100, grace_ms: 0, repairs_per_s: 10_000 };

impl World {
    fn node(&self, config: Config, clock: &Clock) -> Consistency {
        config.build(self.shards(), clock.clone())
    }

    /// Begins a scan and brings it to its end.
    async fn scan(&self, config: Config) -> Scan {
        let node = self.node(config, &Clock::system());
        assert!(matches!(node.scanner.begin().await.unwrap(), Begun::New(_)));
        match node.scanner.work(&never(), &|_| {}).await.unwrap() {
            Worked::Finished(scan) => scan,
            other => panic!("{other:?}"),
        }
    }

    async fn take_up(&self, now: Millis) {
        let take_up = self.shards().write::<_, StoreError, _>(Scan::SHARD, move |tx| {
            Box::pin(async move { Scan::running(tx).await?.expect("a scan").take_up(tx, now).await })
        });
        assert!(take_up.await.unwrap().is_some());
    }

    async fn findings(&self, scan: &Scan) -> BTreeMap<(String, DriverId, Shard), State> {
        let conn = self.shards().read(Scan::SHARD);
        let page = Finding::page(conn, scan, 0, 10_000).await.unwrap();
        page.into_iter()
            .map(|found| {
                ((found.row.ride_id.to_string(), found.row.driver_id, found.row.shard), State::of(found.mismatch))
            })
            .collect()
    }
}

/// A signal that nobody gives.
fn never() -> Shutdown {
    // The end of a supervisor is a signal too.
    let supervisor = Box::leak(Box::new(Supervisor::new(&prometheus::Registry::new()).unwrap()));
    supervisor.shutdown_signal()
}

fn driver(name: &str) -> DriverId {
    DriverId::parse(name).unwrap()
}

on_each_engine! {
    async fn every_kind_of_mismatch_is_found_told_apart_and_put_right(engine) {
        for databases in [1, 3] {
            let world = World::new(engine, "kinds", databases).await;
            // Two weeks.
            let seeded = world.seed(400, 60).await;
            let clean = world.scan(AT_ONCE).await;
            assert_eq!(clean.counts, ScanCounts { acceptances: 400, index_rows: 400, ..ScanCounts::default() });

            let (lost, astray, spoilt) = (&seeded[0], &seeded[200], &seeded[399]);
            world.execute(&format!("DELETE FROM driver_rides WHERE ride_id = {}", lost.0)).await;
            let (ghost, right) = (driver("ghost"), DriverRide::shard(&driver("ghost")));
            let wrong = Shard::new((right.number().unsigned_abs() + 1) % 1024).unwrap();
            let home = DriverRide::shard(&astray.1);
            let elsewhere = Shard::new((home.number().unsigned_abs() + 512) % 1024).unwrap();
            // A ride that she never had, rides that are none: too old, too new, impossible; and a right row in a wrong place.
            let never_hers = seeded[100].0.to_string();
            let rows: Vec<_> = [(right, "ghost", never_hers.as_str()), (right, "ghost", "7"), (right, "ghost", "-7"), (wrong, "ghost", "9223372036854775807"), (elsewhere, astray.1.as_str(), &astray.0.to_string())]
                .map(|(shard, driver, ride)| (shard, format!("({}, '{driver}', {ride})", shard.number())))
                .to_vec();
            world.insert("driver_rides (shard, driver_id, ride_id)", rows).await;
            world.execute(&format!("UPDATE ride_events SET change = '{{' WHERE seq = 2 AND ride_id = {}", spoilt.0)).await;

            let scan = world.scan(AT_ONCE).await;
            let counts = &scan.counts;
            assert_eq!((counts.missing_index, counts.stale_index, counts.in_doubt, counts.in_flight), (1, 5, 1, 0));
            let at = |ride: &str, driver: &DriverId, shard| (ride.to_owned(), driver.clone(), shard);
            let expected = BTreeMap::from([
                (at(&lost.0.to_string(), &lost.1, DriverRide::shard(&lost.1)), State::MissingIndex),
                (at(&never_hers, &ghost, right), State::StaleIndex),
                (at("7", &ghost, right), State::StaleIndex),
                (at("-7", &ghost, right), State::StaleIndex),
                (at("9223372036854775807", &ghost, wrong), State::StaleIndex),
                (at(&astray.0.to_string(), &astray.1, elsewhere), State::StaleIndex),
                (at(&spoilt.0.to_string(), &spoilt.1, DriverRide::shard(&spoilt.1)), State::InDoubt),
            ]);
            assert_eq!(world.findings(&scan).await, expected);

            let node = world.node(AT_ONCE, &Clock::system());
            let dry = node.repair_scan.run(scan.id, 0, true).await.unwrap().unwrap();
            assert_eq!((dry.rows.len(), dry.left, dry.next), (7, 7, None));
            let done = node.repair_scan.run(scan.id, 0, false).await.unwrap().unwrap();
            let times = |what| done.rows.iter().filter(|row| row.repaired == what).count();
            assert_eq!((times(Repaired::Written), times(Repaired::Removed), times(Repaired::Nothing)), (1, 5, 1));
            assert_eq!(done.left, 1, "what nobody can tell is left");
            assert_eq!(node.repair.done(), (1, 5));
            let again = node.repair_scan.run(scan.id, 0, false).await.unwrap().unwrap();
            assert_eq!((again.rows.len(), again.left), (1, 1), "the rest is not looked at again");
            let after = world.scan(AT_ONCE).await.counts;
            assert_eq!((after.missing_index, after.stale_index, after.in_doubt), (0, 0, 1));
        }
    }

    async fn what_the_relay_still_has_to_write_is_no_mismatch(engine) {
        let world = World::new(engine, "told", 3).await;
        let ride = world.ride(1).await;
        let far = world.driver(&ride, false);
        let taken = world.accept(&ride, &far).await;
        world.tell(&taken, &far).await;
        let counts = world.scan(AT_ONCE).await.counts;
        assert_eq!((counts.mismatches(), counts.in_flight), (0, 1));
        world.deliver(ride.id).await;
        let counts = world.scan(AT_ONCE).await.counts;
        assert_eq!((counts.mismatches(), counts.in_flight), (0, 0));
    }

    async fn a_scan_is_one_at_a_time_and_goes_on_from_its_last_checkpoint(engine) {
        let world = World::new(engine, "checkpoint", 1).await;
        // Eight months, so several windows; something is wrong in the first.
        let seeded = world.seed(300, 1200).await;
        world.execute(&format!("DELETE FROM driver_rides WHERE ride_id = {}", seeded[0].0)).await;
        let clock = Clock::system();
        let (node, other) = (world.node(AT_ONCE, &clock), world.node(AT_ONCE, &clock));
        let Begun::New(begun) = node.scanner.begin().await.unwrap() else { panic!("a new one") };
        let Begun::Running(same) = other.scanner.begin().await.unwrap() else { panic!("the same") };
        assert_eq!(same.id, begun.id);

        // Another node looks in at the first checkpoint, and the work is cut off there: as by a SIGKILL, nothing is tidied up.
        let reached = Mutex::new(None);
        let cut = tokio::sync::Notify::new();
        let signal = never();
        let told = |scan: &Scan| {
            if scan.next_hour > begun.next_hour {
                reached.lock().unwrap().get_or_insert(scan.clone());
                cut.notify_one();
            }
        };
        tokio::select! {
            biased;
            () = cut.notified() => {}
            worked = node.scanner.work(&signal, &told) => panic!("{worked:?}"),
        }
        let reached = reached.lock().unwrap().clone().unwrap();
        assert_eq!((reached.counts.missing_index, reached.counts.findings), (1, 1));
        let Worked::Elsewhere(seen) = other.scanner.work(&signal, &|_| {}).await.unwrap() else { panic!("it is leased") };
        assert_eq!((seen.next_hour, seen.counts), (reached.next_hour, reached.counts));

        // When it was not heard of for long enough.
        clock.set_offset_ms(LEASE_MS + 1);
        let first_seen = Mutex::new(None);
        let note = |scan: &Scan| {
            first_seen.lock().unwrap().get_or_insert(scan.next_hour);
        };
        let Worked::Finished(scan) = other.scanner.work(&signal, &note).await.unwrap() else { panic!("to its end") };
        assert!(first_seen.lock().unwrap().unwrap() >= reached.next_hour, "what was compared is not compared again");
        assert_eq!((scan.id, scan.epoch), (begun.id, 2));
        let counts = ScanCounts { acceptances: 300, index_rows: 299, missing_index: 1, findings: 1, ..ScanCounts::default() };
        assert_eq!(scan.counts, counts);
        assert_eq!(world.findings(&scan).await.len(), 1);
        assert_eq!(node.scanner.work(&signal, &|_| {}).await.unwrap(), Worked::Nothing);
    }

    async fn who_was_not_heard_of_may_not_go_on_when_somebody_else_did(engine) {
        let world = World::new(engine, "fenced", 1).await;
        world.seed(50, 1200).await;
        let clock = Clock::system();
        let node = world.node(AT_ONCE, &clock);
        node.scanner.begin().await.unwrap();
        let (signal, is_first) = (never(), AtomicBool::new(true));
        // While it is at its first checkpoint its lease runs out, and another node takes the scan up.
        let told = |_: &Scan| {
            if is_first.swap(false, Ordering::Relaxed) {
                clock.set_offset_ms(LEASE_MS + 1);
                let taken = world.take_up(clock.now());
                tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(taken));
            }
        };
        let worked = node.scanner.work(&signal, &told).await.unwrap();
        assert!(matches!(worked, Worked::Elsewhere(_)), "{worked:?}");
        let running = Scan::running(world.shards().read(Scan::SHARD)).await.unwrap().unwrap();
        assert_eq!(running.epoch, 2, "it is not finished, and the other one's");
    }

    async fn while_rides_are_driven_a_scan_has_nothing_to_tell(engine) {
        let world = World::new(engine, "live", 3).await;
        world.seed(20_000, 2).await;
        let (is_over, driven) = (AtomicBool::new(false), AtomicU32::new(0));
        // Few drivers, so that what differs goes on changing while it is compared.
        let live = async |passengers: [u8; 3]| {
            for turn in 0_u32.. {
                for passenger in passengers {
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    let ride = world.drive(passenger, &driver(&format!("live-{}", turn % 3))).await;
                    world.deliver(ride.id).await;
                    driven.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        let scans = async {
            for _ in 0..2 {
                let before = driven.load(Ordering::Relaxed);
                let counts = world.scan(Config { grace_ms: 20, ..AT_ONCE }).await.counts;
                assert_eq!((counts.mismatches(), counts.in_flight, counts.findings), (0, 0, 0), "{counts:?}");
                assert!(counts.acceptances >= 20_000 && counts.index_rows >= 20_000);
                assert!(driven.load(Ordering::Relaxed) > before, "nobody wrote meanwhile");
            }
            is_over.store(true, Ordering::Relaxed);
        };
        let writers = join_all([live([1, 90, 180]), live([2, 91, 181]), live([3, 92, 182])]);
        tokio::join!(scans, writers);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_that_differs_than_is_compared_at_once_is_all_found() {
    let world = World::new(database::Engine::Sqlite, "many", 1).await;
    let shard = DriverRide::shard(&driver("ghost"));
    let many = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) \
         INSERT INTO driver_rides (shard, driver_id, ride_id) SELECT {}, 'ghost', i * 1024 FROM n",
        shard.number()
    );
    world.execute(&many).await;
    let counts = world.scan(AT_ONCE).await.counts;
    assert_eq!((counts.index_rows, counts.stale_index, counts.findings), (2000, 2000, 2000));
}

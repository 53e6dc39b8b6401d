//! Acceptances between two databases: nodes that die, and nodes that are only slow.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test says what went wrong by panicking")]

#[path = "../../entity/tests/database/mod.rs"]
mod database;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use database::{Database, Engine, NOW, has_postgres};
use entity::{
    Attempt, Barrier, Change, Decision, Driver, DriverRide, Prepared, Ride, RideStatus, Shards, StoreError,
    Transaction, Unfinished, Vehicle,
    value::{DriverId, Millis},
};
use futures_util::future::{join, join_all};
use runtime::{Entropy, task::Supervisor};
use tokio::sync::{Notify, watch};
use usecase::{
    driver_index::{Config, Deps, DriverIndex, Each, Strategy},
    housekeeping::Housekeeping,
    rides::drive_ride::{Command, DriveRide, Error, Step},
};

const LEASE_MS: i64 = 6_000;
const LATE: Millis = Millis(NOW.0 + LEASE_MS);

fn index(database: &Database, strategy: Strategy) -> DriverIndex {
    index_with(database, Config { strategy, ..Config::default() })
}

fn index_with(database: &Database, config: Config) -> DriverIndex {
    let supervisor = Supervisor::new(&prometheus::Registry::new()).unwrap();
    config.build(Deps { shards: database.shards.clone(), supervisor, entropy: Entropy::system() })
}

fn drive_ride(database: &Database, strategy: Strategy) -> DriveRide {
    DriveRide { config: Arc::default(), shards: database.shards.clone(), driver_index: index(database, strategy) }
}

/// A ride that any driver may accept.
async fn open_ride(database: &Database, passenger: u8) -> Ride {
    let ride = database.ride(passenger).await;
    database.change(&ride, Change::PaymentAuthorised, NOW).await.unwrap()
}

/// Drivers whose part of the index lies in another database than the ride.
fn drivers_elsewhere(database: &Database, ride: &Ride, count: usize) -> Vec<DriverId> {
    let names = (0..).map(|number| DriverId::parse(&format!("driver-{number}")).unwrap());
    let elsewhere = names.filter(|name| !database.shards.same_database(ride.id.shard(), DriverRide::shard(name)));
    elsewhere.take(count).collect()
}

fn accept(ride: &Ride, driver_id: &DriverId) -> Command {
    let driver = Driver {
        id: driver_id.clone(),
        name: "Dana".to_owned(),
        rating: 4.9,
        contact: "212-555-0100".to_owned(),
        vehicle: Vehicle { plate: "T1".to_owned(), model: "M".to_owned(), color: "blue".to_owned() },
    };
    let step = Step::Accept { driver, pickup_eta_s: 60 };
    Command { ride_id: ride.id, driver_id: driver_id.clone(), step }
}

async fn is_indexed(database: &Database, driver: &DriverId, ride: &Ride) -> bool {
    let shard = database.shards.read(DriverRide::shard(driver));
    DriverRide::exists(shard, driver, ride.id).await.unwrap()
}

/// What the drivers' side holds ready for attempts that nobody has finished, as it looks when every lease is over.
async fn held(shards: &Shards) -> Vec<Attempt> {
    let due = Barrier::list_due(shards, NOW.plus_s(60), LEASE_MS, 1000).await.unwrap();
    let mut held: Vec<_> = due.into_iter().map(|barrier| barrier.attempt).collect();
    held.extend(Prepared::list_left(shards, 0).await.unwrap());
    held
}

async fn nothing_is_left(database: &Database) {
    assert_eq!(held(&database.shards).await, []);
    let decided = async || Transaction::list_due(&database.shards, NOW.plus_s(60), LEASE_MS, 10).await.unwrap();
    // Forgetting is nobody's to wait for.
    let forgotten = async {
        while !decided().await.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), forgotten).await.unwrap();
}

/// Leaves attempts at the driver's side as a node does that dies there. Every second one was decided.
async fn leave(database: &Database, ride: &Ride, drivers: &[DriverId], strategy: Strategy) {
    for (number, driver_id) in (0..).zip(drivers) {
        let attempt = leave_undecided(database, ride, driver_id, strategy, number).await;
        if number % 2 == 0 {
            let decide = database.shards.write::<_, StoreError, _>(ride.id.shard(), move |tx| {
                let attempt = attempt.clone();
                Box::pin(async move { Transaction::decide(tx, &attempt, Decision::Commit, NOW, LEASE_MS).await })
            });
            decide.await.unwrap();
        }
    }
}

async fn leave_undecided(
    database: &Database,
    ride: &Ride,
    driver_id: &DriverId,
    strategy: Strategy,
    number: i64,
) -> Attempt {
    let attempt = Attempt { ride_id: ride.id, driver_id: driver_id.clone(), number };
    let holding = attempt.clone();
    let hold = database.shards.write::<_, StoreError, _>(DriverRide::shard(driver_id), move |tx| {
        let attempt = holding.clone();
        Box::pin(async move {
            match strategy {
                Strategy::TwoPhase => Prepared::prepare(tx, &attempt).await,
                Strategy::Outbox | Strategy::Tcc => Barrier::reserve(tx, &attempt, NOW, LEASE_MS).await.map(drop),
            }
        })
    });
    hold.await.unwrap();
    attempt
}

/// Somebody holds the ride while a node has the driver's side ready; meanwhile that one is taken for dead.
async fn slow_node(database: Database, strategy: Strategy) {
    let ride = open_ride(&database, 1).await;
    let driver = drivers_elsewhere(&database, &ride, 1).remove(0);
    let drive = drive_ride(&database, strategy);
    let (begun, ready) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (told, until, id, shards) = (begun.clone(), ready.clone(), ride.id, database.shards.clone());
    let holding = database.shards.write::<_, StoreError, _>(ride.id.shard(), move |tx| {
        let (told, until, shards) = (told.clone(), until.clone(), shards.clone());
        Box::pin(async move {
            Ride::find(tx, id).await?;
            told.notify_one();
            until.notified().await;
            Transaction::decide(tx, &held(&shards).await[0], Decision::Abort, LATE, LEASE_MS).await
        })
    });
    let accepting = async {
        begun.notified().await;
        let answering = drive.run(accept(&ride, &driver), NOW);
        let waiting = async {
            while held(&database.shards).await.is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            ready.notify_one();
        };
        join(answering, waiting).await.0
    };
    let (decided, answer) = join(holding, accepting).await;
    assert_eq!(decided.unwrap(), Decision::Abort);
    assert!(matches!(answer, Err(Error::Store(StoreError::Busy(_)))), "{answer:?}");
    let now = Ride::find(database.shards.read(id.shard()), id).await.unwrap().unwrap();
    assert_eq!((now.status, now.version), (RideStatus::Requested, ride.version));
    assert_eq!(held(&database.shards).await, []);
    assert!(!is_indexed(&database, &driver, &ride).await);
    let accepted = drive.run(accept(&ride, &driver), LATE).await.unwrap();
    assert_eq!(accepted.status, RideStatus::Accepted);
    assert!(is_indexed(&database, &driver, &ride).await, "the row is there with the answer");
    nothing_is_left(&database).await;
    // Another driver is refused, and nothing stays ready for them.
    let other = drivers_elsewhere(&database, &ride, 2).remove(1);
    assert!(matches!(drive.run(accept(&ride, &other), LATE).await, Err(Error::AlreadyAccepted)));
    nothing_is_left(&database).await;
}

/// Drivers accept and release while two nodes take everybody for dead at once.
async fn hurried_nodes(database: Database, strategy: Strategy) {
    const ROUNDS: u32 = 10;
    let rides = join_all((1..=4).map(|passenger| open_ride(&database, passenger))).await;
    let in_the_way = AtomicU64::new(0);
    let (stop, stopped) = watch::channel(false);
    let nodes = [(); 2].map(|()| index_with(&database, Config { strategy, lease_ms: 0 }));
    let hurrying = join_all(nodes.iter().map(|node| async {
        while !*stopped.borrow() {
            let Each { reservations, prepared, .. } = node.finish(LATE).await.unwrap();
            in_the_way.fetch_add(reservations + prepared, Ordering::Relaxed);
        }
    }));
    let drive = drive_ride(&database, strategy);
    let accepts = async |ride: &Ride, driver: &DriverId| {
        loop {
            match drive.run(accept(ride, driver), NOW).await {
                Ok(_) => return true,
                Err(Error::AlreadyAccepted) => return false,
                Err(Error::Store(StoreError::Busy(_))) => {}
                Err(error) => panic!("{error}"),
            }
        }
    };
    let drives = async |ride: Ride, driver: DriverId| {
        let (mut accepted, mut rounds) = (false, 0);
        while rounds < ROUNDS || in_the_way.load(Ordering::Relaxed) == 0 {
            if accepts(&ride, &driver).await {
                accepted = true;
                let release = Command { step: Step::Release, ..accept(&ride, &driver) };
                drive.run(release, NOW).await.unwrap();
            }
            rounds += 1;
        }
        let logged = ride.was_accepted_by(database.shards.read(ride.id.shard()), &driver).await.unwrap();
        assert_eq!(logged, accepted, "what is answered is so");
        (ride, driver, accepted)
    };
    let driving = async {
        let all = rides.iter().flat_map(|ride| {
            let drivers = drivers_elsewhere(&database, ride, 3).into_iter();
            drivers.map(|driver| drives(ride.clone(), driver)).collect::<Vec<_>>()
        });
        let all = tokio::time::timeout(Duration::from_secs(120), join_all(all)).await;
        stop.send(true).unwrap();
        all.expect("everybody is answered, and they come into each other's way")
    };
    let (_, driven) = join(hurrying, driving).await;
    let ending = async {
        while !held(&database.shards).await.is_empty() {
            nodes[0].finish(LATE.plus_s(30)).await.unwrap();
        }
        nodes[0].finish(LATE.plus_s(30)).await.unwrap();
    };
    tokio::time::timeout(Duration::from_secs(60), ending).await.expect("it can all be finished");
    nothing_is_left(&database).await;
    for (ride, driver, accepted) in driven {
        assert_eq!(is_indexed(&database, &driver, &ride).await, accepted, "{driver}");
    }
}

on_each_engine! {
    async fn any_number_of_nodes_finish_what_was_left_and_the_index_is_as_it_was_decided(engine) {
        let database = Database::open_several(engine, "finishers", 3).await;
        let ride = database.ride(1).await;
        let drivers = drivers_elsewhere(&database, &ride, 40);
        leave(&database, &ride, &drivers, Strategy::Tcc).await;
        let nodes = [(); 4].map(|()| index(&database, Strategy::Tcc));
        let nothing = Each::default();
        assert_eq!(nodes[0].finish(LATE.plus_ms(-1)).await.unwrap(), nothing, "nobody touches what has a lease");
        let left = nodes[0].unfinished(NOW.plus_s(60)).await.unwrap();
        let old = |count| Unfinished { count, oldest_ms: 60_000 };
        assert_eq!((left.decisions, left.reservations), (old(20), old(40)));
        let finished = join_all(nodes.iter().map(|node| node.finish(LATE))).await;
        let count = |of: fn(Each<u64>) -> u64| finished.iter().map(|each| of(*each.as_ref().unwrap())).sum::<u64>();
        let (decisions, reservations) = (count(|each| each.decisions), count(|each| each.reservations));
        // What was decided is finished from either side, the rest from one, and nothing twice.
        assert!(decisions <= 20 && (20..=40).contains(&reservations) && decisions + reservations >= 40, "{finished:?}");
        nodes[0].finish(LATE.plus_ms(2 * LEASE_MS)).await.unwrap();
        assert_eq!(nodes[0].finish(LATE.plus_ms(4 * LEASE_MS)).await.unwrap(), nothing);
        assert_eq!(nodes[0].unfinished(NOW.plus_s(60)).await.unwrap(), Each::default());
        for (number, driver_id) in drivers.iter().enumerate() {
            assert_eq!(is_indexed(&database, driver_id, &ride).await, number % 2 == 0, "{driver_id}");
        }
        assert_eq!(held(&database.shards).await, []);
        let removed = Housekeeping::new(database.shards.clone()).run(|| NOW.plus_s(86_400)).await.unwrap();
        assert!(removed >= 20, "what was called off is forgotten: {removed}");
    }

    async fn what_was_left_for_a_ride_that_there_is_not_is_called_off(engine) {
        let database = Database::open_several(engine, "no-ride", 3).await;
        let mut ride = database.ride(1).await;
        ride.id = entity::value::Id::new(NOW, 77, ride.id.shard()).unwrap();
        let driver = drivers_elsewhere(&database, &ride, 1);
        let answer = drive_ride(&database, Strategy::Tcc).run(accept(&ride, &driver[0]), NOW).await;
        assert!(matches!(answer, Err(Error::NotFound)), "{answer:?}");
        leave_undecided(&database, &ride, &driver[0], Strategy::Tcc, 1).await;
        assert_eq!(index(&database, Strategy::Tcc).finish(LATE).await.unwrap().reservations, 1);
        assert!(!is_indexed(&database, &driver[0], &ride).await);
        nothing_is_left(&database).await;
    }

    async fn a_reservation_that_comes_after_its_cancellation_is_not_made_and_the_next_one_is(engine) {
        let database = Database::open_several(engine, "late-try", 3).await;
        let ride = open_ride(&database, 1).await;
        let driver = drivers_elsewhere(&database, &ride, 1).remove(0);
        // The number that the next attempt draws.
        let number = i64::from_be_bytes(Entropy::seeded(3).bytes()) & i64::MAX;
        let attempt = Attempt { ride_id: ride.id, driver_id: driver.clone(), number };
        let cancel = database.shards.write::<_, StoreError, _>(DriverRide::shard(&driver), move |tx| {
            let attempt = attempt.clone();
            Box::pin(async move { Barrier::cancel(tx, &attempt, NOW).await })
        });
        cancel.await.unwrap();
        let supervisor = Supervisor::new(&prometheus::Registry::new()).unwrap();
        let deps = Deps { shards: database.shards.clone(), supervisor, entropy: Entropy::seeded(3) };
        let driver_index = Config { strategy: Strategy::Tcc, ..Config::default() }.build(deps);
        let drive = DriveRide { driver_index, ..drive_ride(&database, Strategy::Tcc) };
        let late = drive.run(accept(&ride, &driver), NOW).await;
        assert!(matches!(late, Err(Error::Store(StoreError::Conflict))), "{late:?}");
        assert!(!is_indexed(&database, &driver, &ride).await);
        drive.run(accept(&ride, &driver), NOW).await.unwrap();
        assert!(is_indexed(&database, &driver, &ride).await);
        nothing_is_left(&database).await;
    }

    async fn with_tcc_nodes_that_take_each_other_for_dead_neither_lose_nor_double_an_acceptance(engine) {
        hurried_nodes(Database::open_several(engine, "hurry-tcc", 3).await, Strategy::Tcc).await;
    }

    async fn with_tcc_a_node_that_was_taken_for_dead_accepts_nothing_any_more(engine) {
        slow_node(Database::open_several(engine, "slow-tcc", 3).await, Strategy::Tcc).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_two_phases_a_node_that_was_taken_for_dead_accepts_nothing_any_more() {
    if has_postgres() {
        slow_node(Database::open_several(Engine::Postgres, "slow-2pc", 3).await, Strategy::TwoPhase).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_number_of_nodes_end_what_was_prepared_as_it_was_decided() {
    if !has_postgres() {
        return;
    }
    let database = Database::open_several(Engine::Postgres, "enders", 3).await;
    let ride = database.ride(1).await;
    let drivers = drivers_elsewhere(&database, &ride, 12);
    leave(&database, &ride, &drivers, Strategy::TwoPhase).await;
    // The age of what is prepared is the server's to tell: a lease would be real time.
    let nodes = [(); 3].map(|()| index_with(&database, Config { strategy: Strategy::TwoPhase, lease_ms: 0 }));
    let left = nodes[0].unfinished(NOW).await.unwrap();
    assert_eq!((left.prepared.count, left.decisions.count), (12, 6));
    assert_eq!(index(&database, Strategy::TwoPhase).finish(NOW).await.unwrap(), Each::default(), "they have a lease");
    let ending = async {
        while !held(&database.shards).await.is_empty() {
            join_all(nodes.iter().map(|node| async { node.finish(NOW).await.unwrap() })).await;
        }
        nodes[0].finish(LATE).await.unwrap();
    };
    tokio::time::timeout(Duration::from_secs(60), ending).await.unwrap();
    nothing_is_left(&database).await;
    for (number, driver_id) in drivers.iter().enumerate() {
        assert_eq!(is_indexed(&database, driver_id, &ride).await, number % 2 == 0, "{driver_id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_whose_preparation_is_lost_gets_its_row_all_the_same() {
    if !has_postgres() {
        return;
    }
    let database = Database::open_several(Engine::Postgres, "lost", 3).await;
    let ride = database.ride(1).await;
    let driver = drivers_elsewhere(&database, &ride, 1);
    leave(&database, &ride, &driver, Strategy::TwoPhase).await;
    // Somebody ended it by hand, and wrongly.
    assert!(Prepared::roll_back(&database.shards, &held(&database.shards).await[0]).await.unwrap());
    assert_eq!(index(&database, Strategy::TwoPhase).finish(LATE).await.unwrap().decisions, 1);
    assert!(is_indexed(&database, &driver[0], &ride).await);
    nothing_is_left(&database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_two_phases_nodes_that_take_each_other_for_dead_neither_lose_nor_double_an_acceptance() {
    if has_postgres() {
        hurried_nodes(Database::open_several(Engine::Postgres, "hurry-2pc", 3).await, Strategy::TwoPhase).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_phases_are_refused_where_a_database_cannot_prepare() {
    let files = Database::open_several(Engine::Sqlite, "no-2pc", 2).await;
    let refused = index(&files, Strategy::TwoPhase).check().await.unwrap_err().to_string();
    assert!(refused.contains("database 1") && refused.contains("two_phase"), "{refused}");
    assert!(index(&files, Strategy::Tcc).check().await.is_ok());
    if has_postgres() {
        let servers = Database::open_several(Engine::Postgres, "2pc", 2).await;
        assert!(index(&servers, Strategy::TwoPhase).check().await.is_ok());
    }
}

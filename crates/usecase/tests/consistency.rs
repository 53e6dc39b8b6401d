//! What is told of one ride and of one driver, and what repair makes of it, in real databases.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test says what went wrong by panicking")]

mod consistent;

use consistent::{World, database};
use entity::{
    Attempt, Change, Ride,
    value::{DriverId, Id},
};
use runtime::Clock;
use usecase::consistency::{Config, Consistency, Repaired, State, Unsettled};

impl World {
    fn asked(&self) -> Consistency {
        Config::default().build(self.shards(), Clock::system())
    }

    async fn of_ride(&self, ride_id: Id<Ride>) -> State {
        self.asked().check_ride.run(ride_id).await.unwrap().expect("something is known").state
    }

    async fn of_driver(&self, driver_id: &DriverId) -> State {
        self.asked().check_driver.run(driver_id, None, 10).await.unwrap().state
    }

    /// Repairs the ride's rows: what was done, in order.
    async fn repair(&self, ride_id: Id<Ride>, dry_run: bool) -> Vec<Repaired> {
        let found = self.asked().check_ride.run(ride_id).await.unwrap().expect("something is known");
        let rows = self.asked().repair.run(&found.mismatches(), dry_run).await.unwrap();
        rows.into_iter().map(|row| row.repaired).collect()
    }
}

on_each_engine! {
    async fn an_acceptance_with_its_row_is_consistent_also_after_the_driver_let_go(engine) {
        for databases in [1, 3] {
            let world = World::new(engine, "agrees", databases).await;
            let ride = world.ride(1).await;
            let driver = world.driver(&ride, databases == 1);
            assert_eq!(world.of_ride(ride.id).await, State::Consistent, "nobody accepted");
            assert_eq!(world.of_driver(&driver).await, State::Consistent, "no ride");
            let taken = world.accept(&ride, &driver).await;
            world.index(&driver, ride.id).await;
            let free = world.release(&taken).await;
            world.accept(&free, &driver).await;
            assert_eq!(world.of_ride(ride.id).await, State::Consistent);
            let found = world.asked().check_driver.run(&driver, None, 10).await.unwrap();
            assert_eq!((found.state, found.evidence.len(), found.next), (State::Consistent, 1, None));
            assert_eq!(found.evidence[0].accepted.as_ref().map(|accepted| accepted.seq), Some(5), "the last acceptance");
            assert_eq!(world.repair(ride.id, false).await, []);
        }
    }

    async fn a_lost_row_is_told_and_written_again_once(engine) {
        for databases in [1, 3] {
            let world = World::new(engine, "missing", databases).await;
            let ride = world.ride(1).await;
            let driver = world.driver(&ride, databases == 1);
            world.accept(&ride, &driver).await;
            assert_eq!(world.of_ride(ride.id).await, State::MissingIndex);
            assert_eq!(world.of_driver(&driver).await, State::MissingIndex);
            assert_eq!(world.repair(ride.id, true).await, [Repaired::Written]);
            assert!(!world.is_indexed(&driver, ride.id).await, "a dry run writes nothing");
            assert_eq!(world.repair(ride.id, false).await, [Repaired::Written]);
            assert!(world.is_indexed(&driver, ride.id).await);
            let told = (world.of_ride(ride.id).await, world.of_driver(&driver).await);
            assert_eq!(told, (State::Consistent, State::Consistent));
            assert_eq!(world.repair(ride.id, false).await, []);
        }
    }

    async fn a_row_without_an_acceptance_is_told_and_removed_once(engine) {
        for databases in [1, 3] {
            let world = World::new(engine, "stale", databases).await;
            let ride = world.ride(1).await;
            let (driver, ghost) = (world.driver(&ride, true), "1".parse().unwrap());
            world.index(&driver, ride.id).await;
            world.index(&driver, ghost).await;
            assert_eq!(world.of_driver(&driver).await, State::StaleIndex);
            for ride_id in [ride.id, ghost] {
                assert_eq!(world.of_ride(ride_id).await, State::StaleIndex);
                assert_eq!(world.repair(ride_id, true).await, [Repaired::Removed]);
                assert!(world.is_indexed(&driver, ride_id).await, "a dry run removes nothing");
                assert_eq!(world.repair(ride_id, false).await, [Repaired::Removed]);
                assert!(!world.is_indexed(&driver, ride_id).await);
            }
            assert_eq!(world.of_ride(ride.id).await, State::Consistent);
            assert_eq!(world.of_driver(&driver).await, State::Consistent);
            assert!(world.asked().check_ride.run(ghost).await.unwrap().is_none(), "nothing names it any more");
        }
    }

    async fn a_row_in_a_shard_where_nobody_looks_is_told_and_removed(engine) {
        let world = World::new(engine, "astray", 3).await;
        let ride = world.ride(1).await;
        let driver = world.driver(&ride, true);
        world.accept(&ride, &driver).await;
        world.index(&driver, ride.id).await;
        world.execute("INSERT INTO driver_rides SELECT (shard + 1) & 1023, driver_id, ride_id FROM driver_rides").await;
        assert_eq!(world.of_ride(ride.id).await, State::StaleIndex);
        assert_eq!(world.repair(ride.id, false).await, [Repaired::Removed]);
        assert_eq!(world.of_ride(ride.id).await, State::Consistent);
        assert!(world.is_indexed(&driver, ride.id).await, "the right one stays");
    }

    async fn a_row_in_another_database_stays_until_its_ride_is_over(engine) {
        let world = World::new(engine, "waits", 3).await;
        let ride = world.ride(1).await;
        let driver = world.driver(&ride, false);
        world.index(&driver, ride.id).await;
        assert_eq!(world.repair(ride.id, false).await, [Repaired::Later], "the driver may be accepting it");
        assert!(world.is_indexed(&driver, ride.id).await);
        world.change(&ride, Change::Expired).await;
        assert_eq!(world.repair(ride.id, false).await, [Repaired::Removed]);
        assert_eq!(world.of_ride(ride.id).await, State::Consistent);
    }

    async fn a_row_that_the_relay_is_told_to_write_is_in_flight_and_left_to_it(engine) {
        let world = World::new(engine, "in-flight", 3).await;
        let ride = world.ride(1).await;
        let driver = world.driver(&ride, false);
        let taken = world.accept(&ride, &driver).await;
        world.tell(&taken, &driver).await;
        let found = world.asked().check_ride.run(ride.id).await.unwrap().unwrap();
        assert_eq!((found.state, found.evidence[0].unsettled), (State::InFlight, Some(Unsettled::Write)));
        assert_eq!(world.of_driver(&driver).await, State::InFlight);
        assert_eq!(world.repair(ride.id, false).await, [Repaired::Nothing]);
        assert!(!world.is_indexed(&driver, ride.id).await);
        world.index(&driver, ride.id).await;
        assert_eq!(world.of_ride(ride.id).await, State::Consistent, "written, and the message is still there");
    }

    async fn a_row_whose_log_cannot_be_read_is_in_doubt_and_stays(engine) {
        let world = World::new(engine, "unreadable", 1).await;
        let ride = world.ride(1).await;
        let driver = world.driver(&ride, true);
        world.accept(&ride, &driver).await;
        world.index(&driver, ride.id).await;
        world.execute("UPDATE ride_events SET change = '{' WHERE seq = 3").await;
        let found = world.asked().check_ride.run(ride.id).await.unwrap().unwrap();
        assert_eq!((found.state, found.evidence[0].unsettled), (State::InDoubt, Some(Unsettled::Unreadable)));
        assert_eq!(world.repair(ride.id, false).await, [Repaired::Nothing]);
        assert!(world.is_indexed(&driver, ride.id).await);
        world.forget(&driver, ride.id).await;
        assert_eq!(world.of_ride(ride.id).await, State::InDoubt, "nobody knows whether a row is missing");
    }

    async fn a_drivers_rides_are_looked_through_page_by_page(engine) {
        for databases in [1, 3] {
            let world = World::new(engine, "pages", databases).await;
            let driver = DriverId::parse("many").unwrap();
            let (mut lost, mut wrong) = (Vec::new(), Vec::new());
            for (number, passenger) in [1, 80, 90, 170, 180, 250].into_iter().enumerate() {
                let ride = world.ride(passenger).await;
                if number % 3 != 2 {
                    world.accept(&ride, &driver).await;
                }
                if number % 3 != 1 {
                    world.index(&driver, ride.id).await;
                }
                match number % 3 {
                    0 => {}
                    1 => lost.push(ride.id),
                    _ => wrong.push(ride.id),
                }
            }
            let (mut before, mut all) = (None, Vec::new());
            loop {
                let page = world.asked().check_driver.run(&driver, before, 2).await.unwrap();
                assert!(page.evidence.len() == 2 || page.next.is_none());
                all.extend(page.evidence);
                before = page.next;
                if before.is_none() {
                    break;
                }
            }
            assert_eq!(all.len(), 6);
            assert!(all.is_sorted_by(|a, b| a.row.ride_id > b.row.ride_id));
            let in_state = |state: State| {
                let mut ids: Vec<_> = all.iter().filter(|e| e.state() == state).map(|e| e.row.ride_id).collect();
                ids.sort_unstable();
                ids
            };
            lost.sort_unstable();
            wrong.sort_unstable();
            assert_eq!((in_state(State::MissingIndex), in_state(State::StaleIndex)), (lost, wrong));
            assert_eq!(in_state(State::Consistent).len(), 2);
        }
    }
}

on_each_engine! {
    async fn a_row_that_is_decided_and_not_written_is_in_flight_and_one_that_is_not_decided_in_doubt(engine) {
        let world = World::new(engine, "transactions", 3).await;
        let ride = world.ride(1).await;
        let far = world.driver(&ride, false);
        let attempt = Attempt { ride_id: ride.id, driver_id: far.clone(), number: 7 };
        world.reserve(&attempt).await;
        for _ in 0..2 {
            let found = world.asked().check_ride.run(ride.id).await.unwrap().unwrap();
            assert_eq!((found.state, found.evidence[0].unsettled), (State::InDoubt, Some(Unsettled::Undecided)));
            assert_eq!(world.of_driver(&far).await, State::InDoubt);
            assert_eq!(world.repair(ride.id, false).await, [Repaired::Nothing], "it is decided by itself");
        }
        world.accept(&ride, &far).await;
        world.decide(&attempt).await;
        assert_eq!((world.of_ride(ride.id).await, world.of_driver(&far).await), (State::InFlight, State::InFlight));
        assert_eq!(world.repair(ride.id, false).await, [Repaired::Nothing]);
        assert!(!world.is_indexed(&far, ride.id).await);
        world.index(&far, ride.id).await;
        assert_eq!(world.of_ride(ride.id).await, State::Consistent);
    }
}

//! Quotes, rides, their logs, their money and what their partners are told.

use entity::{
    Change, NewRide, Offer, OutboxEntry, Passenger, Payment, PaymentStatus, Quote, Rating, Ride,
    value::{Id, Millis, Point, Shard},
};

use super::{Case, reads, writes};
use crate::{
    database::{Database, NOW, TIMEOUTS},
    seed,
};

/// Rows of a page, of a batch, of a sweep.
const PAGE: u64 = 20;
const BATCH: u64 = 1_000;
const SWEEP: u64 = 100;
const DAY_MS: i64 = 86_400_000;
/// The longest that a message is put off, milliseconds.
const LONGEST_MS: i64 = 3 * 3_600_000;

fn offer(passenger_id: Id<Passenger>) -> Offer {
    let point = Point::from_degrees(40.7, -73.9).unwrap();
    let (distance_m, duration_s, expires_at) = (9_000, 900, NOW.plus_s(300));
    Offer { passenger_id, pickup: point, dropoff: point, distance_m, duration_s, options: vec![], expires_at }
}

fn new_ride(passenger_id: Id<Passenger>, quote_id: Id<Quote>) -> NewRide {
    Database::new_ride(passenger_id, quote_id)
}

fn rating() -> Rating {
    Rating { stars: 5, tags: vec![], comment: None, rated_at: NOW }
}

/// The ride after its driver came.
fn arrived(ride: &Ride) -> Ride {
    ride.after(&Change::Arrived, NOW).unwrap()
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = reads! { w =>
        Quote::find_owned(w.at(w.passenger.shard()), w.passenger, w.quote);
        Ride::find(w.at(w.ride.id.shard()), w.ride.id);
        Ride::find_owned(w.at(w.rider.shard()), w.rider, w.ride.id);
        Ride::find_active(w.at(w.rider.shard()), w.rider);
        Ride::exists_for_quote(w.at(w.ride.id.shard()), w.ride.quote_id);
        Ride::page_owned(w.at(w.passenger.shard()), w.passenger, None, PAGE);
        Ride::page_owned(w.at(w.passenger.shard()), w.passenger, Some(seed::ride(60_100)), PAGE);
        Ride::find_accepted(&w.shards, &w.rides, &w.row.driver_id);
        Ride::find_accepted(&w.shards, &w.rides[..PAGE as usize], &w.row.driver_id);
        Ride::list_open(&w.shards, None, SWEEP);
        Ride::list_open(&w.shards, Some(w.ride.id), SWEEP);
        Ride::list_timed_out(&w.shards, NOW, SWEEP);
        Ride::versions_after(&w.old_ride, w.at(w.old_ride.id.shard()), 1);
        Ride::was_accepted_by(&w.old_ride, w.at(w.old_ride.id.shard()), &w.row.driver_id);
        Ride::acceptances(&w.shards, &w.rides);
        Ride::has_acceptance(w.at(w.old_ride.id.shard()), w.old_ride.id, &w.row.driver_id);
        Ride::accepted_by(&w.shards, &w.row.driver_id, None, PAGE);
        Ride::accepted_by(&w.shards, &w.row.driver_id, Some(w.old_ride.id), PAGE);
        Ride::accepted_in(w.at(w.old_ride.id.shard()), w.old_ride.id.shard(), w.week(), None, 500);
        Ride::accepted_in(
            w.at(w.old_ride.id.shard()),
            w.old_ride.id.shard(),
            w.week(),
            Some(&(w.old_ride.id, w.row.driver_id.clone())),
            500,
        );
        Ride::accepted_among(&w.shards, &w.some_shards(), w.week(), 50_000);
        Ride::oldest_accepted(w.at(Shard::new(700).unwrap()), Shard::new(700).unwrap());
        Payment::find(w.at(w.ride.id.shard()), w.ride.id);
        OutboxEntry::heads(w.at(w.ride.id.shard()), w.ride.id);
        OutboxEntry::unindexed(&w.shards, &w.rides);
        OutboxEntry::due_rides(&w.shards, NOW, LONGEST_MS, SWEEP);
        OutboxEntry::depth(&w.shards);
        OutboxEntry::waiting_by_lane(&w.shards);
        OutboxEntry::list_dead(&w.shards, SWEEP);
    };
    cases.extend(writes! { tx, w =>
        Quote::insert(tx, offer(w.passenger), NOW);
        Quote::purge_unused(tx, Millis(i64::MIN), NOW.plus_ms(-25 * DAY_MS), BATCH);
        Quote::purge_unused(tx, NOW.plus_ms(-10 * DAY_MS), NOW.plus_ms(-9 * DAY_MS), BATCH);
        Ride::open(tx, new_ride(w.passenger, w.quote), &TIMEOUTS, NOW);
        Ride::open(tx, new_ride(w.rider, w.quote), &TIMEOUTS, NOW);
        Ride::open(tx, new_ride(w.passenger, seed::quote(100)), &TIMEOUTS, NOW);
        Ride::find(tx, w.ride.id);
        Ride::advance(&w.ride, tx, &arrived(&w.ride), &Change::Arrived, &TIMEOUTS, NOW);
        Ride::find_timed_out(tx, w.waiting.id, NOW);
        Ride::bring_deadlines_back(tx, &TIMEOUTS, NOW.plus_ms(-3_600_000));
        Ride::put_deadlines_right(tx, &TIMEOUTS, NOW);
        Payment::open(tx, seed::ride(0));
        Payment::advance(tx, w.ride.id, &[PaymentStatus::Authorised, PaymentStatus::Pending], PaymentStatus::Captured, 5);
        Rating::insert_once(&rating(), tx, w.ride.id);
        Rating::insert_once(&rating(), tx, w.old_ride.id);
        OutboxEntry::append(tx, &w.ride, &w.messages(), NOW);
        OutboxEntry::claim(&w.entry, tx, NOW);
        OutboxEntry::acknowledge(tx, w.entry.key);
        OutboxEntry::put_off(tx, w.entry.key, Some(NOW), "down", NOW);
        OutboxEntry::requeue(tx, w.dead, NOW);
    });
    cases
}

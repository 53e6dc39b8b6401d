//! Rows as a city leaves them in a month: most of them long over, a few due. And who is who among them.

use std::fmt::Write as _;

use entity::{
    DriverRide, Ride,
    store::Engine,
    value::{DriverId, Id, Millis, PhoneHash, Shard},
};
use sea_orm::{ConnectionTrait, DatabaseConnection};

use super::{database::NOW, rows};

/// Passengers; the first [`RIDERS`] of them ride.
pub(crate) const PASSENGERS: i64 = 120_000;
pub(crate) const RIDERS: i64 = 20_000;
/// One every [`RIDE_MS`], the last one just now; the last [`OPEN`] are under way.
pub(crate) const RIDES: i64 = 120_000;
pub(crate) const OPEN: i64 = 600;
pub(crate) const RIDE_MS: i64 = 20_000;
/// Quotes that no ride was requested with.
pub(crate) const UNUSED: i64 = 30_000;
pub(crate) const DRIVERS: i64 = 2_000;
/// Rows of the tables that grow no longer than something is under way: what they would hold on a very bad day.
pub(crate) const BACKLOG: i64 = 100_000;
/// Rows of such a table that have expired when housekeeping comes.
pub(crate) const EXPIRED: i64 = 1_500;
/// Of each of the last ten scans. As many scans as nobody ever keeps: what would be read of them all is seen in a plan.
pub(crate) const FINDINGS: i64 = 12_000;

pub(crate) const EPOCH_MS: i64 = 1_704_067_200_000;

fn id<T>(at: Millis, number: i64, shard: i64) -> Id<T> {
    let random = u16::try_from(number % 4096).unwrap();
    Id::new(at, random, shard_of(shard)).unwrap()
}

fn shard_of(number: i64) -> Shard {
    Shard::new(u16::try_from(number % 1024).unwrap()).unwrap()
}

fn signed_up_at(passenger: i64) -> Millis {
    NOW.plus_ms((passenger - 2 * PASSENGERS) * 60_000)
}

pub(crate) fn passenger<T>(number: i64) -> Id<T> {
    id(signed_up_at(number), number, number)
}

pub(crate) fn session<T>(number: i64) -> Id<T> {
    id(signed_up_at(number).plus_ms(500), number, number)
}

pub(crate) fn challenge<T>(number: i64) -> Id<T> {
    id(NOW.plus_ms(-300_000 + number), number, number)
}

pub(crate) fn scan<T>(number: i64) -> Id<T> {
    id(signed_up_at(number), number, 0)
}

fn requested_at(ride: i64) -> Millis {
    NOW.plus_ms((ride - RIDES) * RIDE_MS)
}

pub(crate) fn ride(number: i64) -> Id<Ride> {
    id(requested_at(number), number, number % RIDERS)
}

/// That of a ride; from [`RIDES`] on one that no ride was requested with.
pub(crate) fn quote<T>(number: i64) -> Id<T> {
    match number - RIDES {
        unused @ 0.. => id(requested_at(4 * unused).plus_ms(-31_000), number, number % RIDERS),
        _ => id(requested_at(number).plus_ms(-30_000), number, number % RIDERS),
    }
}

pub(crate) fn driver(number: i64) -> DriverId {
    DriverId::parse(&format!("driver-{number}")).unwrap()
}

/// Who accepted a ride, if anybody did.
pub(crate) fn driver_of(ride: i64) -> DriverId {
    driver(ride * 7919 % DRIVERS)
}

/// 32 bytes whose first bits are a shard.
pub(crate) fn hash(number: i64) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..2].copy_from_slice(&u16::try_from(number % 1024 * 64).unwrap().to_be_bytes());
    bytes[24..].copy_from_slice(&number.to_be_bytes());
    bytes
}

pub(crate) fn phone(number: i64) -> PhoneHash {
    PhoneHash(hash(number))
}

/// Writes all of it and lets the planner look at it.
pub(crate) async fn sow(engine: Engine, raw: &DatabaseConnection) {
    let run = async |sql: &str| {
        let done = raw.execute_unprepared(sql).await;
        done.unwrap_or_else(|error| panic!("{error}:\n{sql}"));
    };
    // What is sown refers to what is sown: nothing is gained by looking each row up.
    match engine {
        Engine::Sqlite => run("PRAGMA foreign_keys = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -200000").await,
        Engine::Postgres => run("SET session_replication_role = replica").await,
    }
    run("CREATE TEMP TABLE drivers (driver integer PRIMARY KEY, name varchar(64), place smallint)").await;
    run("BEGIN").await;
    run(&drivers()).await;
    for statement in rows::statements(engine) {
        run(&statement).await;
    }
    run("COMMIT").await;
    run("DROP TABLE drivers").await;
    match engine {
        Engine::Sqlite => run("PRAGMA wal_checkpoint(TRUNCATE)").await,
        Engine::Postgres => run("VACUUM (ANALYZE)").await,
    }
}

fn drivers() -> String {
    let mut sql = "INSERT INTO drivers (driver, name, place) VALUES ".to_owned();
    for number in 0..DRIVERS {
        let driver = driver(number);
        let comma = if number == 0 { "" } else { ", " };
        write!(sql, "{comma}({number}, '{driver}', {})", DriverRide::shard(&driver).number()).unwrap();
    }
    sql
}

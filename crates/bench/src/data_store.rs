//! Stores on private PostgreSQL servers, and rides in them that wait for a driver or for their row of the driver index.

use std::{ops::Range, path::Path};

use clusters::{Binaries, Cluster, Database, Options};

use crate::{
    data_scan,
    data_seed::{DRIVERS, EPOCH_MS, shard_of_driver},
    main_flow::Places,
};

const SHARDS: usize = 1024;
const HOUR_MS: i64 = 3_600_000;
/// What a driver shows of themself, without their id.
const CARD: &str = r#""name":"Dana D.","rating":4.9,"contact":"+12125550199","vehicle":{"plate":"T123456C","model":"Camry","color":"black"}"#;

/// Servers that wait for the disk at each commit, and so many microseconds more as if it were a slower one.
///
/// # Errors
/// There is no PostgreSQL here, or it does not start.
pub(crate) fn durable(count: usize, slower_by_us: u32) -> Result<(Binaries, Vec<Cluster>), String> {
    let binaries = Binaries::find().map_err(|error| error.to_string())?;
    // Made to let others come with their commits; here also when there are none.
    let slower = [("commit_delay", slower_by_us.to_string()), ("commit_siblings", "0".to_owned())];
    let settings = slower.map(|(name, value)| (name.to_owned(), value)).to_vec();
    let options = Options { durable: true, settings };
    let clusters = Cluster::start_many(count, &binaries, &options).map_err(|error| error.to_string())?;
    Ok((binaries, clusters))
}

/// The databases of one store, one on each server; dropped when this is.
pub(crate) struct Store(Vec<Database>);

impl Store {
    /// A new one, with its tables.
    ///
    /// # Errors
    /// In words.
    pub(crate) async fn make(places: &Places, folder: &Path, clusters: &[Cluster]) -> Result<Self, String> {
        std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
        let databases: Result<Vec<_>, _> =
            clusters.iter().map(|cluster| cluster.server().create_database(None)).collect();
        let store = Self(databases.map_err(|error| error.to_string())?);
        data_scan::migrate(places, folder, &store.dsns()).await?;
        Ok(store)
    }

    /// As the gateway is told them.
    pub(crate) fn dsns(&self) -> String {
        self.0.iter().map(Database::dsn).collect::<Vec<_>>().join(",")
    }

    /// In their order.
    pub(crate) fn databases(&self) -> &[Database] {
        &self.0
    }

    /// Makes rides in one of the databases.
    ///
    /// # Errors
    /// In words.
    pub(crate) fn fill(&self, place: usize, rides: &Rides, state: &State) -> Result<(), String> {
        let database = &self.0[place];
        rides.statements(state).iter().try_for_each(|s| database.run(s).map(drop).map_err(|error| error.to_string()))
    }
}

/// The shards that a database holds in the first version of the map.
fn shards_of(place: usize, of: usize) -> Range<usize> {
    (place * SHARDS).div_ceil(of)..((place + 1) * SHARDS).div_ceil(of)
}

/// Drivers whose part of the index lies in some of the databases.
pub(crate) fn drivers(of: usize, is_there: impl Fn(usize) -> bool) -> Vec<String> {
    let ids = (0..DRIVERS).map(|number| format!("driver-{number}"));
    ids.filter(|id| is_there(usize::from(shard_of_driver(id)) * of / SHARDS)).collect()
}

/// Rides of one database, numbered from 0, each of a passenger of its own, requested an hour ago.
pub(crate) struct Rides {
    count: u32,
    shards: Range<usize>,
    /// Milliseconds since the first id.
    first: i64,
}

/// How far they have come.
pub(crate) enum State {
    /// The fare is reserved, and a driver is looked for.
    Requested,
    /// One of these drivers has accepted; that is still to be told to the driver index, which lies in another database.
    Accepted(Vec<String>),
}

impl Rides {
    /// So many of database `place` `of` so many.
    pub(crate) fn new(count: u32, (place, of): (usize, usize), now_ms: i64) -> Self {
        Self { count, shards: shards_of(place, of), first: now_ms - EPOCH_MS - HOUR_MS }
    }

    /// The id of a ride.
    pub(crate) fn id(&self, number: u32) -> i64 {
        let shard = self.shards.start as i64 + i64::from(number) % self.shards.len() as i64;
        ((self.first + i64::from(number)) << 22) | shard
    }

    /// What the product would have written, in bulk.
    fn statements(&self, state: &State) -> Vec<String> {
        let Self { count, shards, first } = self;
        let (shard, at) = (format!("({} + i % {})", shards.start, shards.len()), format!("({EPOCH_MS} + {first} + i)"));
        let id = format!("((({first} + i) << 22) | {shard})");
        let series = format!("WITH n(i) AS (SELECT generate_series(0, {}::bigint)) ", i64::from(*count) - 1);
        let point = "40758000, -73985500, 40712700, -74013400";
        let insert = |into: &str, values: &str| format!("{series}INSERT INTO {into} SELECT {values} FROM n");
        let event = |seq: u8, change: &str| {
            insert(
                "ride_events (shard, ride_id, seq, at, change)",
                &format!("{shard}, {id}, {seq}, {at} + {seq}, {change}"),
            )
        };
        let mut all = vec![
            insert("passengers (shard, id)", &format!("{shard}, {id}")),
            insert(
                "quotes (shard, id, passenger_id, pickup_lat, pickup_lng, dropoff_lat, dropoff_lng, distance_m, duration_s, \
                 options, expires_at)",
                &format!("{shard}, {id}, {id}, {point}, 6000, 1200, '[]', {at} + 300000"),
            ),
            insert(
                "rides (shard, id, passenger_id, quote_id, pickup_lat, pickup_lng, dropoff_lat, dropoff_lng, product, status, \
                 status_at, version, payment_status, fare, currency, duration_s, pickup_code, due_at)",
                // Nothing is going to happen to them by itself.
                &format!(
                    "{shard}, {id}, {id}, {id}, {point}, 1, 0, {at}, 2, 1, 1250, 'USD', 1200, '0042', {at} + 86400000"
                ),
            ),
            event(1, r#"'{"change":"requested"}'"#),
            event(2, r#"'{"change":"payment_authorised"}'"#),
            insert("payments (shard, ride_id, status, captured)", &format!("{shard}, {id}, 1, 0")),
        ];
        if let State::Accepted(drivers) = state {
            let ids: Vec<String> = drivers.iter().map(|id| format!("'{id}'")).collect();
            let driver = format!("(bench_drivers())[1 + i % {}]", ids.len());
            let card = format!(r#"'{{"id":"' || {driver} || '",{CARD}}}'"#);
            all.insert(
                0,
                format!(
                    "CREATE FUNCTION bench_drivers() RETURNS text[] IMMUTABLE LANGUAGE sql AS $$ SELECT ARRAY[{}] $$",
                    ids.join(", ")
                ),
            );
            all.push(format!(
                "{series}UPDATE rides SET status = 1, version = 3, pickup_eta_s = 180, driver_id = {driver}, driver = {card} \
                 FROM n WHERE shard = {shard} AND id = {id}"
            ));
            all.push(event(3, &format!(r#"'{{"change":"accepted","driver":' || {card} || ',"pickup_eta_s":180}}'"#)));
            // Third version, the lane of the driver index; its node's lease is over.
            all.push(insert(
                "outbox (shard, ride_id, seq, message, attempts, due_at)",
                &format!(
                    r#"{shard}, {id}, 26, '{{"kind":"index_driver","driver_id":"' || {driver} || '"}}', 0, {at} + 6000"#
                ),
            ));
            all.push("DROP FUNCTION bench_drivers".to_owned());
        }
        all.push("VACUUM (ANALYZE)".to_owned());
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shard_lies_in_one_database_and_rides_only_in_their_own() {
        for of in [1, 2, 3] {
            let all: Vec<usize> = (0..of).flat_map(|place| shards_of(place, of)).collect();
            assert_eq!(all, (0..SHARDS).collect::<Vec<_>>());
            for place in 0..of {
                assert!(shards_of(place, of).all(|shard| shard * of / SHARDS == place));
                let rides = Rides::new(2000, (place, of), 1_800_000_000_000);
                assert!((0..2000).all(|number| (rides.id(number) & 1023) as usize * of / SHARDS == place));
            }
        }
        assert_eq!(
            drivers(2, |_| true).len(),
            drivers(2, |place| place == 0).len() + drivers(2, |place| place == 1).len()
        );
    }
}

//! Making one database say of a shard what another one says.

use futures_util::future::try_join;
use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseTransaction, IsolationLevel, TransactionOptions, TransactionTrait,
    sea_query::LockType,
};

use super::{
    Failed,
    rows::{How, Key, Listed, Rows, Until},
};
use crate::{
    store::{
        Database, Engine, StoreError,
        database::engine,
        place::{Place, State},
    },
    value::Shard,
};

/// Rows that one transaction writes: what others write there waits meanwhile.
const BATCH: usize = 400;

/// How many rows there are of a shard in a table, and the sum of their hashes: in whatever order they are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checksum {
    /// Rows.
    pub rows: u64,
    /// Of the first 128 bits of SHA-256 over each row's columns, wrapping.
    pub sum: u128,
}

impl Checksum {
    fn of(listed: &Listed) -> Self {
        let sum = listed.values().fold(0_u128, |sum, hash| sum.wrapping_add(*hash));
        Self { rows: listed.len() as u64, sum }
    }
}

/// What one look at both sides has found, table by table.
pub(super) struct Compared {
    pub(super) checksums: Vec<Checksum>,
    work: Vec<Work>,
}

impl Compared {
    /// Rows that the copy lacks, has too many, or has otherwise.
    pub(super) fn differences(&self) -> usize {
        self.work.iter().map(|work| work.keys.len()).sum()
    }
}

/// What is to be done with some rows of one table.
struct Work {
    /// The table's place in the list.
    table: usize,
    what: What,
    keys: Vec<Key>,
}

#[derive(Clone, Copy)]
enum What {
    Remove,
    Carry(How),
}

/// A look at everything as it is at one moment, however long it takes.
pub(super) async fn look(database: &Database) -> Result<DatabaseTransaction, StoreError> {
    let options = TransactionOptions {
        isolation_level: Some(IsolationLevel::RepeatableRead),
        access_mode: Some(AccessMode::ReadOnly),
        ..TransactionOptions::default()
    };
    let is_postgres = engine(&database.readers) == Engine::Postgres;
    // What is begun on SQLite, deferred, is such a look anyway.
    let options = if is_postgres { options } else { TransactionOptions::default() };
    let tx = database.readers.begin_with_options(options).await?;
    if is_postgres {
        tx.execute_unprepared("SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0")
            .await?;
    }
    Ok(tx)
}

/// Compares what both say of the shard.
pub(super) async fn compare(
    tables: &[Rows],
    from: &DatabaseTransaction,
    to: &DatabaseTransaction,
    shard: Shard,
    until: Until,
) -> Result<Compared, StoreError> {
    let (mut removals, mut carries, mut checksums) = (Vec::new(), Vec::new(), Vec::new());
    for (table, of) in tables.iter().enumerate() {
        let (there, here) = try_join((of.list)(from, shard, until), (of.list)(to, shard, until)).await?;
        checksums.push(Checksum::of(&there));
        let keys = |wanted: &dyn Fn(&Key, u128) -> bool, all: &Listed| {
            let mut keys: Vec<Key> =
                all.iter().filter(|(key, hash)| wanted(key, **hash)).map(|(key, _)| key.clone()).collect();
            keys.sort_unstable();
            keys
        };
        let gone = keys(&|key, _| !there.contains_key(key), &here);
        let changed = keys(&|key, hash| here.get(key).is_some_and(|copy| *copy != hash), &there);
        let new = keys(&|key, _| !here.contains_key(key), &there);
        removals.push(Work { table, what: What::Remove, keys: gone });
        // What changes makes room for what comes: a ride ends before its passenger's next one begins.
        carries.push(Work { table, what: What::Carry(How::Update), keys: changed });
        carries.push(Work { table, what: What::Carry(How::Insert), keys: new });
    }
    // What others refer to goes last and comes first.
    removals.reverse();
    removals.append(&mut carries);
    Ok(Compared { checksums, work: removals })
}

/// Everything that the database holds of the shard, as if it were to be removed.
pub(super) async fn everything(
    tables: &[Rows],
    of: &DatabaseTransaction,
    shard: Shard,
) -> Result<Compared, StoreError> {
    let (mut work, mut checksums) = (Vec::new(), Vec::new());
    for (table, rows) in tables.iter().enumerate() {
        let listed = (rows.list)(of, shard, Until::WHENEVER).await?;
        checksums.push(Checksum::of(&listed));
        work.push(Work { table, what: What::Remove, keys: listed.into_keys().collect() });
    }
    work.reverse();
    Ok(Compared { checksums, work })
}

/// Does what a comparison has found, in transactions of [`BATCH`] rows, as long as the database says `state` of the shard and who
/// is in charge is still the one.
pub(super) async fn apply(
    tables: &[Rows],
    compared: &Compared,
    from: &DatabaseTransaction,
    to: &Database,
    shard: Shard,
    (state, move_id): (State, i64),
    tell: &(dyn Fn(u64) + Sync),
) -> Result<(), Failed> {
    let mut open: Option<(DatabaseTransaction, usize)> = None;
    let mut done = 0;
    for work in &compared.work {
        let mut rest = work.keys.as_slice();
        while !rest.is_empty() {
            let (tx, room) = match open.take() {
                Some(open) => open,
                None => (enter(to, shard, (state, move_id)).await?, BATCH),
            };
            let (keys, later) = rest.split_at(rest.len().min(room));
            let table = &tables[work.table];
            match work.what {
                What::Remove => (table.remove)(&tx, shard, keys).await?,
                What::Carry(how) => (table.carry)(from, &tx, shard, keys, how).await?,
            }
            rest = later;
            done += keys.len() as u64;
            if room == keys.len() {
                tx.commit().await.map_err(StoreError::from)?;
                tell(done);
            } else {
                open = Some((tx, room - keys.len()));
            }
        }
    }
    if let Some((tx, _)) = open {
        tx.commit().await.map_err(StoreError::from)?;
        tell(done);
    }
    Ok(())
}

async fn enter(
    database: &Database,
    shard: Shard,
    (state, move_id): (State, i64),
) -> Result<DatabaseTransaction, Failed> {
    let tx = database.begin().await.map_err(StoreError::from)?;
    // Whoever takes over has to wait for these rows.
    let places = Place::hold(&tx, &[shard], LockType::NoKeyUpdate).await?;
    if places.iter().any(|(_, place)| place.state != state || place.move_id != Some(move_id)) {
        tx.rollback().await.map_err(StoreError::from)?;
        return Err(Failed::Overtaken);
    }
    Ok(tx)
}

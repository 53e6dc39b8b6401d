//! Prepared transactions of PostgreSQL: a row of the driver index that is written and durable, and that nobody sees until
//! it is decided at the ride's side. No table of ours: the server keeps them.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, Statement};

use crate::{
    DriverRide,
    store::{Due, Engine, Shards, StoreError, Tx},
    transaction::{Attempt, Unfinished, driver},
    value::Id,
};

/// What the names of ours begin with.
const OURS: &str = "passenger-gateway";

/// Rows that are held ready by the server itself.
#[derive(Clone, Copy, Debug)]
pub struct Prepared;

impl Prepared {
    /// Writes the row of an attempt and prepares it to be committed, or rolled back, by anybody and at any time.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails, [`StoreError::Busy`] when the server has no more places for prepared
    /// transactions. It may have been prepared all the same.
    pub async fn prepare(tx: &Tx, attempt: &Attempt) -> Result<(), StoreError> {
        DriverRide::record(tx, &attempt.driver_id, attempt.ride_id).await?;
        // The server answers ROLLBACK, and no error, to the preparation of a transaction that has failed: none has come here.
        // The transaction is not the connection's any more; what is committed next is an empty one.
        tx.inner.execute_unprepared(&format!("PREPARE TRANSACTION {}; BEGIN", name(attempt))).await?;
        Ok(())
    }

    /// Commits the row; `false` when nothing is prepared for the attempt (any more).
    ///
    /// # Errors
    /// [`StoreError`] when the database fails, or somebody else is about to end it.
    pub async fn commit(shards: &Shards, attempt: &Attempt) -> Result<bool, StoreError> {
        shards.end_prepared(DriverRide::shard(&attempt.driver_id), format!("COMMIT PREPARED {}", name(attempt))).await
    }

    /// Removes the row; `false` when nothing is prepared for the attempt (any more).
    ///
    /// # Errors
    /// As [`Prepared::commit`].
    pub async fn roll_back(shards: &Shards, attempt: &Attempt) -> Result<bool, StoreError> {
        shards.end_prepared(DriverRide::shard(&attempt.driver_id), format!("ROLLBACK PREPARED {}", name(attempt))).await
    }

    /// Attempts that were prepared `lease_ms` ago or earlier, by the server's clock, oldest first in each database; due work,
    /// so it names no shard.
    ///
    /// # Errors
    /// [`StoreError`] when no database answers.
    pub async fn list_left(shards: &Shards, lease_ms: i64) -> Result<Vec<Attempt>, StoreError> {
        // No limit: the server itself keeps few.
        let left = ours("gid", lease_ms, " ORDER BY prepared");
        let gids = ask(shards, &left, |row| row.try_get_by_index::<String>(0)).await?;
        Ok(gids
            .iter()
            .filter_map(|gid| parse(gid).inspect_err(|error| tracing::error!(gid, %error, "skipped")).ok())
            .collect())
    }

    /// What was prepared `lease_ms` ago or earlier, in the databases that answer; due work, so it names no shard.
    ///
    /// # Errors
    /// [`StoreError`] when no database answers.
    pub async fn unfinished(shards: &Shards, lease_ms: i64) -> Result<Unfinished, StoreError> {
        let age = "coalesce(extract(epoch FROM clock_timestamp() - min(prepared)) * 1000, 0)::bigint";
        let counted = ours(&format!("count(*), {age}"), lease_ms, "");
        let found = ask(shards, &counted, |row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?))).await?;
        Ok(found.into_iter().fold(Unfinished::default(), |all, (count, oldest_ms): (i64, i64)| {
            all.and(Unfinished { count: count.unsigned_abs(), oldest_ms: u64::try_from(oldest_ms).unwrap_or(0) })
        }))
    }
}

/// Asks for our own in the database that is asked; another store may lie on the same server.
fn ours(what: &str, lease_ms: i64, order: &str) -> String {
    format!(
        "SELECT {what} FROM pg_prepared_xacts WHERE database = current_database() AND gid LIKE '{OURS}:%' \
         AND prepared <= clock_timestamp() - interval '{lease_ms} milliseconds'{order}"
    )
}

/// Each row of each database that is PostgreSQL.
async fn ask<T>(
    shards: &Shards,
    question: &str,
    read: impl Fn(&QueryResult) -> Result<T, DbErr>,
) -> Result<Vec<T>, StoreError> {
    let read = &read;
    let one = async |Due { conn, .. }: Due<'_>| {
        if conn.engine() != Engine::Postgres {
            return Ok(vec![]);
        }
        let rows = conn.0.query_all_raw(Statement::from_string(DbBackend::Postgres, question)).await?;
        Ok(rows.iter().map(read).collect::<Result<Vec<_>, _>>()?)
    };
    shards.ask_for_due(one).await
}

/// As a literal of SQL. A driver's id is printable ASCII without spaces, and the whole shorter than the 200 bytes that a name
/// may have.
fn name(attempt: &Attempt) -> String {
    let driver_id = attempt.driver_id.as_str().replace('\'', "''");
    format!("'{OURS}:{}:{}:{driver_id}'", attempt.ride_id, attempt.number)
}

fn parse(gid: &str) -> Result<Attempt, StoreError> {
    let corrupt = || StoreError::corrupt("pg_prepared_xacts", "gid", "not of our form");
    let [_, ride_id, number, driver_id] = gid.splitn(4, ':').collect::<Vec<_>>()[..] else { return Err(corrupt()) };
    let ride_id = ride_id.parse::<Id<_>>().map_err(|_| corrupt())?;
    let number = number.parse().map_err(|_| corrupt())?;
    Ok(Attempt { ride_id, driver_id: driver("pg_prepared_xacts", driver_id)?, number })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::DriverId;

    #[test]
    fn an_attempt_is_read_from_its_name_whatever_the_driver_is_called() {
        for driver in ["d1", "a:b:c", "O'Hara", "';DROP", "\\x", &"x".repeat(64)] {
            let driver_id = DriverId::parse(driver).unwrap();
            let attempt = Attempt { ride_id: Id::raw(i64::MAX), driver_id, number: i64::MAX };
            let literal = name(&attempt);
            let inside = literal.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).unwrap();
            assert!(!inside.replace("''", "").contains('\''), "{literal}");
            let gid = inside.replace("''", "'");
            assert!(gid.len() < 200);
            assert_eq!(parse(&gid).unwrap(), attempt);
        }
        assert!(parse("passenger-gateway:1").is_err());
    }
}

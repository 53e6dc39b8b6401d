//! A hand in a database from outside, while a gateway or a peer works on it: whether it has settled, what is in it.

use std::{fs, path::Path, time::Duration};

use sqlx::{
    ConnectOptions, Connection, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode},
};
use tokio::sync::Mutex;

/// How long partners may take to acknowledge what a measurement left in the outbox.
const SETTLES_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// The simulated dispatch reads a ride after it has acknowledged the request: time for that.
const AFTERMATH: Duration = Duration::from_millis(100);
/// Rows that a POST adds: gateway and peer must leave the same numbers. Later events belong to the end of the ride.
const WRITTEN: [&str; 5] = ["rides", "ride_events WHERE seq <= 2", "payments", "idempotency_keys", "outbox"];

/// A connection of the bench's own.
pub(crate) struct Database(Mutex<SqliteConnection>);

impl Database {
    /// Opens a database that somebody else serves.
    ///
    /// # Errors
    /// In words.
    pub(crate) async fn open(file: &Path) -> Result<Self, String> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .journal_mode(SqliteJournalMode::Wal)
            .busy_timeout(Duration::from_secs(5))
            .disable_statement_logging();
        Ok(Self(Mutex::new(options.connect().await.map_err(|e| format!("{}: {e}", file.display()))?)))
    }

    /// Waits until the outbox is empty: everything that the requests caused has been done.
    ///
    /// # Errors
    /// It does not become empty.
    pub(crate) async fn settled(&self) -> Result<(), String> {
        let empty = async {
            while self.number("SELECT count(*) FROM outbox").await? > 0 {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            tokio::time::sleep(AFTERMATH).await;
            Ok(())
        };
        tokio::time::timeout(SETTLES_WITHIN, empty).await.map_err(|_| "the outbox does not become empty".to_owned())?
    }

    /// Ends every ride, as far as indexes see it.
    ///
    /// # Errors
    /// In words.
    pub(crate) async fn end_rides(&self) -> Result<(), String> {
        let end = sqlx::query("UPDATE rides SET status = 11, due_at = NULL WHERE status < 10");
        end.execute(&mut *self.0.lock().await).await.map(drop).map_err(|e| e.to_string())
    }

    /// Rows of each table that a POST writes.
    ///
    /// # Errors
    /// In words.
    pub(crate) async fn rows(&self) -> Result<Vec<(&'static str, i64)>, String> {
        let mut rows = Vec::new();
        for table in WRITTEN {
            rows.push((table, self.number(&format!("SELECT count(*) FROM {table}")).await?));
        }
        Ok(rows)
    }

    /// An answer that is kept for replays.
    ///
    /// # Errors
    /// There is none.
    pub(crate) async fn stored_answer(&self) -> Result<String, String> {
        let text = sqlx::query_scalar("SELECT response FROM idempotency_keys LIMIT 1");
        text.fetch_one(&mut *self.0.lock().await).await.map_err(|e| e.to_string())
    }

    /// Moves the write-ahead log into the file and empties it.
    ///
    /// # Errors
    /// In words.
    pub(crate) async fn checkpoint(&self) -> Result<(), String> {
        self.number("PRAGMA wal_checkpoint(TRUNCATE)").await.map(drop)
    }

    /// Closes the connection, so that whoever serves the database closes it as the last one.
    pub(crate) async fn close(self) {
        let _ = self.0.into_inner().close().await;
    }

    async fn number(&self, statement: &str) -> Result<i64, String> {
        let query = sqlx::query_scalar(sqlx::AssertSqlSafe(statement));
        query.fetch_one(&mut *self.0.lock().await).await.map_err(|e| e.to_string())
    }
}

/// Transactions in the write-ahead log of a database (<https://sqlite.org/fileformat2.html#walformat>).
///
/// # Errors
/// The log cannot be read.
pub(crate) fn commits(database: &Path) -> Result<usize, String> {
    let path = database.with_extension("db-wal");
    let log = fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(commits_in(&log))
}

fn commits_in(log: &[u8]) -> usize {
    let (Some(page), Some(salt)) = (number_at(log, 8), log.get(16..24)) else { return 0 };
    let frames = log[32..].chunks_exact(24 + page as usize);
    // A frame of an older log, not yet overwritten, has another salt. The last one of a transaction has a size.
    frames.filter(|frame| frame[8..16] == *salt && number_at(frame, 4) != Some(0)).count()
}

fn number_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_frame_of_each_transaction_counts_and_leftovers_do_not() {
        let frame = |size: u32, salt: u8| {
            let mut frame = vec![0; 24 + 512];
            frame[4..8].copy_from_slice(&size.to_be_bytes());
            frame[8..16].fill(salt);
            frame
        };
        let mut log = vec![0; 32];
        log[8..12].copy_from_slice(&512_u32.to_be_bytes());
        log[16..24].fill(7);
        for (size, salt) in [(0, 7), (3, 7), (4, 7), (9, 6)] {
            log.extend(frame(size, salt));
        }
        assert_eq!(commits_in(&log), 2);
        assert_eq!(commits_in(b""), 0);
    }
}

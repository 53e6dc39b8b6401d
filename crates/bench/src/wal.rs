//! How often a server makes something durable: the commits in its write-ahead log.

use std::{path::PathBuf, process::Stdio, time::Duration};

use clusters::{Binaries, Cluster};
use tokio::process::Command;

use crate::postgres::Hand;

/// Reading a measurement's log takes no longer.
const READ_WITHIN: Duration = Duration::from_secs(120);
/// Records that a session waits for until they are on the disk.
const DURABLE: [&str; 3] = ["desc: COMMIT ", "desc: PREPARE ", "desc: COMMIT_PREPARED "];

/// The write-ahead log of a server.
pub(crate) struct Wal {
    program: PathBuf,
    folder: PathBuf,
    hand: Hand,
}

impl Wal {
    /// Of this server.
    ///
    /// # Errors
    /// It does not answer.
    pub(crate) async fn of(cluster: &Cluster, binaries: &Binaries) -> Result<Self, String> {
        let hand = Hand::open(&cluster.server().dsn()).await?;
        let folder = cluster.folder().join("data/pg_wal");
        Ok(Self { program: binaries.folder().join("pg_waldump"), folder, hand })
    }

    /// Where it ends now.
    ///
    /// # Errors
    /// In words.
    pub(crate) async fn end(&self) -> Result<String, String> {
        self.hand.text("SELECT pg_current_wal_lsn()::text").await
    }

    /// Commits since `from`, those of prepared transactions and their preparations too.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) async fn commits_since(&self, from: &str) -> Result<usize, String> {
        let to = self.end().await?;
        if to == from {
            return Ok(0);
        }
        let mut command = Command::new(&self.program);
        command.arg("--path").arg(&self.folder).args(["--rmgr", "Transaction", "--start", from, "--end", &to]);
        let reading = command.stdin(Stdio::null()).kill_on_drop(true).output();
        let output = tokio::time::timeout(READ_WITHIN, reading).await.map_err(|_| "pg_waldump does not end")?;
        let output = output.map_err(|e| format!("pg_waldump: {e}"))?;
        if !output.status.success() {
            return Err(format!("pg_waldump: {}", String::from_utf8_lossy(&output.stderr)));
        }
        Ok(commits_in(&String::from_utf8_lossy(&output.stdout)))
    }
}

fn commits_in(records: &str) -> usize {
    records.lines().filter(|record| DURABLE.iter().any(|durable| record.contains(durable))).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_session_waits_for_counts_and_a_roll_back_does_not() {
        let record =
            |what: &str| format!("rmgr: Transaction len (rec/tot): 34/34, tx: 7, lsn: 0/1, prev 0/0, desc: {what}\n");
        let records =
            ["COMMIT 2026-11-23 UTC", "PREPARE gid a: 2026", "COMMIT_PREPARED 9: 2026", "ABORT 2026", "ROLLBACK"];
        assert_eq!(commits_in(&records.map(record).concat()), 3);
        assert_eq!(commits_in(""), 0);
    }
}

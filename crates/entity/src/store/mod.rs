//! The shards: where they are, how to read one, and the one door for write transactions.

mod config;
mod database;
mod door;
mod dsn;
mod error;
mod follow;
mod identity;
mod line;
mod map;
pub mod moving;
mod muster;
mod nice;
mod of_rides;
mod open;
mod place;
mod postgres;
mod prepared;
pub(crate) mod purge;
mod routes;
mod schema;
pub mod show;
mod sqlite;
mod tx;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

pub use config::{Config, Synchronous};
pub(crate) use database::{Database, Due};
pub use dsn::Engine;
pub use error::StoreError;
pub use follow::Moves;
use futures_util::future::join_all;
pub(crate) use moving::Rows;
use routes::Routes;
use runtime::{Entropy, Stopwatch, task::Supervisor};
pub use tx::{Conn, Tx};

use crate::{
    Ride, RideStatus,
    value::{Id, Shard},
};

/// All shards of the platform. Cheap to clone.
#[derive(Clone)]
pub struct Shards(Arc<Inner>);

struct Inner {
    databases: Vec<Database>,
    routes: Routes,
    /// How long a database may take to say what is due there.
    patience: Duration,
    /// How long a write waits for a shard that is being moved.
    move_patience: Duration,
    opened: Stopwatch,
    /// Held by who looks at the databases because that was not done for long.
    looking: tokio::sync::Mutex<()>,
    deps: Deps,
}

/// Told after each commit. Must not block: it runs where the transaction ran.
pub type OnCommit = Arc<dyn Fn(Committed) + Send + Sync>;

/// What a committed transaction did to one ride.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// It has a new version: event streams have something to tell.
    Changed {
        /// Which ride.
        ride_id: Id<Ride>,
        /// Its status in that version.
        status: RideStatus,
    },
    /// It has a new message in the outbox: the relay has something to deliver.
    Message(Id<Ride>),
}

/// What [`Config::build`] needs.
pub struct Deps {
    /// Runs the write transactions.
    pub supervisor: Supervisor,
    /// Draws the random part of ids.
    pub entropy: Entropy,
    /// Wakes the relay and the event streams.
    pub on_commit: OnCommit,
}

impl Shards {
    /// A shard to read from.
    #[must_use]
    pub fn read(&self, shard: Shard) -> Conn<'_> {
        self.0.databases[self.0.routes.database_of(shard)].conn()
    }

    /// Whether both lie in one database: one transaction can write to both.
    #[must_use]
    pub fn same_database(&self, a: Shard, b: Shard) -> bool {
        self.0.routes.database_of(a) == self.0.routes.database_of(b)
    }

    /// How many databases there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.databases.len()
    }

    /// `items` by the database that holds their shard, in the order of the databases.
    pub(crate) fn group_by_database<T>(
        &self,
        items: impl IntoIterator<Item = T>,
        shard: impl Fn(&T) -> Shard,
    ) -> impl Iterator<Item = (&Database, Vec<T>)> {
        let mut groups: BTreeMap<usize, Vec<T>> = BTreeMap::new();
        for item in items {
            groups.entry(self.0.routes.database_of(shard(&item))).or_default().push(item);
        }
        groups.into_iter().map(|(number, items)| (&self.0.databases[number], items))
    }

    /// Every database.
    pub(crate) fn databases(&self) -> impl Iterator<Item = &Database> {
        self.0.databases.iter()
    }

    /// Asks every database what is due there, all at once: this names no shard. One that does not answer is logged and
    /// keeps nobody else waiting; an error when none answers.
    pub(crate) async fn ask_for_due<'c, T, F>(&'c self, ask: impl Fn(Due<'c>) -> F) -> Result<Vec<T>, StoreError>
    where
        F: Future<Output = Result<Vec<T>, StoreError>>,
    {
        // Only a read may be given up on: a transaction would go on in an unknown state.
        let patient = |database: &'c Database| async {
            let answer = tokio::time::timeout(self.0.patience, ask(database.due())).await;
            answer.unwrap_or_else(|_| Err(StoreError::Busy(format!("no answer in {:?}", self.0.patience))))
        };
        let answers = join_all(self.databases().map(patient)).await;
        let (mut found, mut last_error, mut answered) = (Vec::new(), None, false);
        for (database, answer) in self.databases().zip(answers) {
            match answer {
                Ok(rows) => {
                    answered = true;
                    found.extend(rows);
                }
                Err(error) => {
                    if self.count() > 1 {
                        database.did_not_answer(&error);
                    }
                    last_error = Some(error);
                }
            }
        }
        match last_error {
            Some(error) if !answered => Err(error),
            _ => Ok(found),
        }
    }

    /// Closes every connection, so that what is committed lies in the database files themselves. The last call: what
    /// comes later finds no connection.
    pub async fn close(&self) {
        join_all(self.databases().map(Database::close)).await;
    }
}

/// How many rows a list that was put together may have.
pub(crate) fn bound(limit: u64) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

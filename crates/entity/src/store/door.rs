//! The one door for writes.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use runtime::Stopwatch;
use sea_orm::{DatabaseTransaction, sea_query::LockType};

use super::{
    Database, Shards, StoreError, Tx,
    identity::Identity,
    line::Turn,
    place::{Place, State},
};
use crate::value::Shard;

/// How often a transaction is run because what it was to insert was there already.
const DRAWS: u32 = 5;

/// How long a write waits before it asks again for a shard that is being moved.
const ASK_AGAIN: Duration = Duration::from_millis(10);

/// What a transaction may write to.
enum Reach {
    /// These shards, which lie in one database.
    Shards(Vec<Shard>),
    /// What is due in one database, whatever shard it is of.
    Database(usize),
}

/// Why a transaction was not run.
enum Stayed<E> {
    /// One of its shards is held elsewhere, or nobody may write to it now.
    Away(Shard, Place),
    /// It failed.
    Failed(E),
}

impl<E: From<StoreError>> From<StoreError> for Stayed<E> {
    fn from(error: StoreError) -> Self {
        Self::Failed(E::from(error))
    }
}

impl Shards {
    /// Runs `work` in a transaction on `shard` and commits it if it answers `Ok`.
    ///
    /// The transaction runs in a task of its own, so a caller that goes away cannot cut it in half. `work` may be
    /// run again when an id that it drew was taken. A shard that is being moved is waited for and found where it is then.
    ///
    /// # Errors
    /// What `work` answers, after a roll-back; [`StoreError`] when the database fails. An error at COMMIT is an
    /// unknown outcome.
    pub async fn write<T, E, F>(&self, shard: Shard, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'t> Fn(&'t Tx) -> BoxFuture<'t, Result<T, E>> + Send + Sync + 'static,
    {
        self.write_to(Reach::Shards(vec![shard]), Turn::Ordinary, Arc::new(work)).await
    }

    /// As [`Shards::write`], and next: before all who wait there. For rides under way, which go on while the rest waits.
    ///
    /// # Errors
    /// As [`Shards::write`].
    pub async fn write_first<T, E, F>(&self, shard: Shard, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'t> Fn(&'t Tx) -> BoxFuture<'t, Result<T, E>> + Send + Sync + 'static,
    {
        self.write_to(Reach::Shards(vec![shard]), Turn::First, Arc::new(work)).await
    }

    /// As [`Shards::write`], on several shards of one database.
    ///
    /// # Errors
    /// As [`Shards::write`]; [`StoreError::Apart`] when they do not lie in one database: one of them may just have been moved.
    pub async fn write_together<T, E, F>(&self, shards: Vec<Shard>, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'t> Fn(&'t Tx) -> BoxFuture<'t, Result<T, E>> + Send + Sync + 'static,
    {
        self.write_to(Reach::Shards(shards), Turn::Ordinary, Arc::new(work)).await
    }

    /// As [`Shards::write_together`], and next, as [`Shards::write_first`].
    ///
    /// # Errors
    /// As [`Shards::write_together`].
    pub async fn write_together_first<T, E, F>(&self, shards: Vec<Shard>, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'t> Fn(&'t Tx) -> BoxFuture<'t, Result<T, E>> + Send + Sync + 'static,
    {
        self.write_to(Reach::Shards(shards), Turn::First, Arc::new(work)).await
    }

    /// For due work, which names no shard: a transaction on each database, one after the other, else as
    /// [`Shards::write`]. What they answered, in the order of the databases. Rows of shards that
    /// are being moved are left alone.
    ///
    /// # Errors
    /// The first error; the databases after it were written to all the same.
    pub async fn write_everywhere<T, E, F>(&self, work: F) -> Result<Vec<T>, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'t> Fn(&'t Tx) -> BoxFuture<'t, Result<T, E>> + Send + Sync + 'static,
    {
        let work = Arc::new(work);
        let mut answers = Vec::with_capacity(self.count());
        for database in 0..self.count() {
            answers.push(self.write_to(Reach::Database(database), Turn::Ordinary, work.clone()).await);
        }
        answers.into_iter().collect()
    }

    async fn write_to<T, E, F>(&self, reach: Reach, turn: Turn, work: Arc<F>) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'t> Fn(&'t Tx) -> BoxFuture<'t, Result<T, E>> + Send + Sync + 'static,
    {
        let shards = self.clone();
        let run = self.0.deps.supervisor.run("write-transaction", async move {
            let waiting = Stopwatch::start();
            loop {
                let (shard, place) = match shards.write_once(&reach, turn, &*work).await {
                    Ok(value) => return Ok(value),
                    Err(Stayed::Failed(error)) => return Err(error),
                    Err(Stayed::Away(shard, place)) => (shard, place),
                };
                // It has a new owner that we did not know.
                if shards.0.routes.learn(shard, place.database, place.epoch) {
                    continue;
                }
                if waiting.elapsed() >= shards.0.move_patience {
                    let number = shard.number();
                    return Err(E::from(StoreError::Busy(format!("shard {number} is being moved"))));
                }
                tokio::time::sleep(ASK_AGAIN).await;
            }
        });
        run.await.unwrap_or_else(|error| Err(E::from(StoreError::from(error))))
    }

    async fn write_once<T, E, F>(&self, reach: &Reach, turn: Turn, work: &F) -> Result<T, Stayed<E>>
    where
        E: From<StoreError>,
        F: for<'t> Fn(&'t Tx) -> BoxFuture<'t, Result<T, E>>,
    {
        let number = match reach {
            Reach::Shards(shards) => self.0.routes.together(shards).ok_or(StoreError::Apart)?,
            Reach::Database(number) => *number,
        };
        let database = &self.0.databases[number];
        let _at_head = database.line.wait(turn).await?;
        let mut draws = 1;
        loop {
            let tx = match enter(database, number, reach).await? {
                Ok(entered) => Tx::new(entered, self.clone()),
                Err((shard, place)) => return Err(Stayed::Away(shard, place)),
            };
            match work(&tx).await {
                Ok(value) => return Ok(tx.commit().await.map(|()| value)?),
                Err(error) => {
                    let collided = tx.roll_back().await;
                    if !collided || draws == DRAWS {
                        return Err(Stayed::Failed(error));
                    }
                    draws += 1;
                }
            }
        }
    }
}

/// An open transaction that may write to what it is to.
pub(super) struct Entered {
    pub(super) inner: DatabaseTransaction,
    /// Which database it is on, from 0.
    pub(super) database: usize,
    /// Shards of which there are rows that it must leave alone.
    pub(super) not_here: Vec<i16>,
}

/// Begins a transaction, unless the database does not hold one of the shards or nobody may write to it. Once it has begun none of
/// them is closed before its end. (Not FOR KEY SHARE: that answers the row as it was before a change that it does not wait for.)
async fn enter(
    database: &Database,
    number: usize,
    reach: &Reach,
) -> Result<Result<Entered, (Shard, Place)>, StoreError> {
    let inner = database.begin().await?;
    let asked = match reach {
        Reach::Shards(shards) => Place::hold(&inner, shards, LockType::Share).await.map(|places| {
            let is_away = |place: &Place| place.database != number || place.state == State::Closed;
            match places.into_iter().find(|(_, place)| is_away(place)) {
                Some(away) => Err(away),
                None => Ok(vec![]),
            }
        }),
        Reach::Database(_) => not_here(&inner).await.map(Ok),
    };
    let stayed = match asked {
        Ok(Ok(not_here)) => return Ok(Ok(Entered { inner, database: number, not_here })),
        Ok(Err(away)) => Ok(Err(away)),
        Err(error) => Err(error),
    };
    if let Err(error) = inner.rollback().await {
        tracing::warn!(%error, "roll-back failed; the connection is closed by its pool");
    }
    stayed
}

/// The shards of which there are rows that the database does not hold, or that nobody may write to; until the end of the transaction
/// there are no more of them.
async fn not_here(tx: &DatabaseTransaction) -> Result<Vec<i16>, StoreError> {
    Identity::take_turns(tx, false).await?;
    let is_left_alone = |place: &Place| matches!(place.state, State::Closed | State::Left | State::Arriving);
    let moving = Place::list_moving(tx).await?.into_iter();
    Ok(moving.filter(|(_, place)| is_left_alone(place)).map(|(shard, _)| shard.number()).collect())
}

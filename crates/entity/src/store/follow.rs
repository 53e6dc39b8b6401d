//! Following shards that are moved, and putting an end to what a mover that died has left: a shard that nobody may write to does
//! not wait for people.

use std::{
    collections::HashMap,
    sync::{PoisonError, atomic::Ordering},
    time::Duration,
};

use futures_util::future::{join_all, try_join_all};
use runtime::{Stopwatch, task::Shutdown};

use super::{
    Database, Shards, StoreError,
    identity::Identity,
    map::ShardMap,
    moving::{ASKED_EVERY, ASKED_MEANWHILE},
    place::{Place, State},
};
use crate::value::Shard;

/// A step of a move that takes longer is taken for one whose mover has died. Longer than a mover lets anybody wait.
pub(super) const ABANDONED: Duration = Duration::from_secs(3);

/// How many shards databases say that something happens to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moves {
    leaving: u32,
    closed: u32,
    left: u32,
    arriving: u32,
}

impl Moves {
    /// Each with its name, as metrics have it.
    #[must_use]
    pub fn by_name(self) -> [(&'static str, u32); 4] {
        [("leaving", self.leaving), ("closed", self.closed), ("left", self.left), ("arriving", self.arriving)]
    }

    fn count(&mut self, state: State) {
        match state {
            State::Settled => {}
            State::Leaving => self.leaving += 1,
            State::Closed => self.closed += 1,
            State::Left => self.left += 1,
            State::Arriving => self.arriving += 1,
        }
    }
}

/// A look at a database that takes longer is given up.
const LOOKS_FOR: Duration = Duration::from_secs(3);
/// And one that requests wait for.
const LOOKS_AT_ONCE_FOR: Duration = Duration::from_secs(1);
/// Who has not looked for so long has stood still; longer than two looks are apart even when a database does not answer, and shorter
/// than rows are kept where a shard was.
const STALE_MS: u64 = 4_500;

async fn in_time<T>(read: impl Future<Output = Result<T, StoreError>>, time: Duration) -> Result<T, StoreError> {
    let answer = tokio::time::timeout(time, read).await;
    answer.unwrap_or_else(|_| Err(StoreError::Busy(format!("no answer in {time:?}"))))
}

/// What was seen of a database.
#[derive(Default)]
struct Seen {
    /// Of its map.
    version: i32,
    /// Shards that nobody may write to, and since when.
    closed: HashMap<Shard, (Place, Stopwatch)>,
}

impl Shards {
    /// Follows shards that are moved, until shutdown.
    ///
    /// # Errors
    /// None: a database that does not answer is asked again.
    pub async fn follow_moves(&self, shutdown: Shutdown) -> Result<(), StoreError> {
        let all = self.databases().map(|database| {
            let shutdown = shutdown.clone();
            async move { self.follow_one(database, shutdown).await }
        });
        try_join_all(all).await.map(|_| ())
    }

    /// What happened to shards when the databases were looked at last; of one that does not answer what it said before.
    #[must_use]
    pub fn moves(&self) -> Moves {
        self.databases().fold(Moves::default(), |all, database| {
            let one = *database.moves.lock().unwrap_or_else(PoisonError::into_inner);
            Moves {
                leaving: all.leaving + one.leaving,
                closed: all.closed + one.closed,
                left: all.left + one.left,
                arriving: all.arriving + one.arriving,
            }
        })
    }

    /// Makes sure that what this process knows of the shards' places is not older than rows are kept where a shard was: a process that
    /// stood still, or has just started, looks before it reads. Where it is followed all the time this costs nothing.
    pub async fn keep_up(&self) {
        if self.is_fresh() {
            return;
        }
        // The first one looks, the others wait for that.
        let _looking = self.0.looking.lock().await;
        if self.is_fresh() {
            return;
        }
        let looks = self.databases().map(|database| async {
            let read = async {
                let version = Identity::find(&database.readers, false).await?.map_or(0, |identity| identity.version);
                ShardMap::find(&database.readers, version, true).await
            };
            match in_time(read, LOOKS_AT_ONCE_FOR).await {
                Ok(map) => map.places().for_each(|(shard, place)| self.learn(shard, &place)),
                Err(error) => database.did_not_answer(&error),
            }
            database.looked.store(self.now_ms(), Ordering::Relaxed);
        });
        join_all(looks).await;
    }

    fn is_fresh(&self) -> bool {
        let now = self.now_ms();
        self.databases().all(|database| match database.looked.load(Ordering::Relaxed) {
            // The map that the start has read is as old as that.
            0 => false,
            looked => now.saturating_sub(looked) < STALE_MS,
        })
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.0.opened.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
    }

    async fn follow_one(&self, database: &Database, shutdown: Shutdown) -> Result<(), StoreError> {
        let (mut seen, mut is_told) = (Seen::default(), false);
        loop {
            let looked = self.look(database, &mut seen).await;
            // Also when it did not answer: nobody else would fare better.
            database.looked.store(self.now_ms(), Ordering::Relaxed);
            let pause = match looked {
                Ok(is_moving) => {
                    is_told = false;
                    if is_moving { ASKED_MEANWHILE } else { ASKED_EVERY }
                }
                Err(error) => {
                    if !std::mem::replace(&mut is_told, true) {
                        database.did_not_answer(&error);
                    }
                    ASKED_EVERY
                }
            };
            tokio::select! {
                biased;
                () = shutdown.wait() => return Ok(()),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Learns what the database says, and whether it says that a shard is being moved.
    async fn look(&self, database: &Database, seen: &mut Seen) -> Result<bool, StoreError> {
        let read = async {
            let moving = Place::list_moving(&database.readers).await?;
            let version = Identity::find(&database.readers, false).await?.map_or(0, |identity| identity.version);
            Ok::<_, StoreError>((moving, version))
        };
        let (moving, version) = in_time(read, LOOKS_FOR).await?;
        if version != seen.version {
            let map = ShardMap::find(&database.readers, version, true).await?;
            for (shard, place) in map.places() {
                self.learn(shard, &place);
            }
            seen.version = version;
        }
        let copies = moving.iter().filter(|(_, place)| matches!(place.state, State::Left | State::Arriving));
        let not_here = copies.map(|(shard, _)| shard.number()).collect();
        *database.not_here.lock().unwrap_or_else(PoisonError::into_inner) = not_here;
        let mut moves = Moves::default();
        moving.iter().for_each(|(_, place)| moves.count(place.state));
        *database.moves.lock().unwrap_or_else(PoisonError::into_inner) = moves;
        let is_closed = |place: &Place| matches!(place.state, State::Closed | State::Arriving);
        seen.closed.retain(|shard, _| moving.iter().any(|(other, place)| other == shard && is_closed(place)));
        for (shard, place) in &moving {
            self.learn(*shard, place);
            self.look_after(database, *shard, place, seen).await?;
        }
        Ok(moving.iter().any(|(_, place)| matches!(place.state, State::Leaving | State::Closed | State::Arriving)))
    }

    fn learn(&self, shard: Shard, place: &Place) {
        if self.0.routes.learn(shard, place.database, place.epoch) {
            tracing::info!(shard = shard.number(), database = place.database + 1, "a shard has moved");
        }
    }

    async fn look_after(
        &self,
        database: &Database,
        shard: Shard,
        place: &Place,
        seen: &mut Seen,
    ) -> Result<(), StoreError> {
        let here = database.name.number;
        if matches!(place.state, State::Leaving | State::Closed)
            && place.other.is_some_and(|other| other >= self.count())
        {
            let other = place.other.map_or(0, |other| other + 1);
            tracing::error!(
                shard = shard.number(),
                database = other,
                "a shard is to be moved to a database that is not in store.shards here: called off. Start every gateway with it \
                 first"
            );
            return self.put_an_end_to(database, shard, place, Place::settled(here, place.epoch)).await;
        }
        // Where it ends if nobody goes on.
        let end = match place.state {
            State::Closed => Place::settled(here, place.epoch),
            State::Arriving => match self.given_by(shard, place).await? {
                Some(giver) => Place::settled(here, giver.epoch),
                None => return Ok(()),
            },
            State::Settled | State::Leaving | State::Left => return Ok(()),
        };
        let (since, stopwatch) = seen.closed.entry(shard).or_insert_with(|| (*place, Stopwatch::start()));
        if since != place {
            (*since, *stopwatch) = (*place, Stopwatch::start());
        }
        if stopwatch.elapsed() < ABANDONED {
            return Ok(());
        }
        tracing::warn!(
            shard = shard.number(), database = %database.name,
            "whoever moves a shard has not gone on: writes to it go on here. `shards show` tells what is left to do"
        );
        self.put_an_end_to(database, shard, place, end).await
    }

    /// What the database that a copy comes from says of the shard, if it has given it to this copy.
    async fn given_by(&self, shard: Shard, copy: &Place) -> Result<Option<Place>, StoreError> {
        let Some(giver) = self.0.databases.get(copy.database) else { return Ok(None) };
        let says = Place::find(&giver.readers, shard).await?;
        let given = says.state == State::Left && says.move_id == copy.move_id && says.epoch > copy.epoch;
        Ok(given.then_some(says))
    }

    async fn put_an_end_to(
        &self,
        database: &Database,
        shard: Shard,
        place: &Place,
        end: Place,
    ) -> Result<(), StoreError> {
        let tx = database.begin().await?;
        let changed = place.replace(&tx, shard, &end).await?;
        tx.commit().await?;
        if changed {
            self.learn(shard, &end);
        }
        Ok(())
    }
}

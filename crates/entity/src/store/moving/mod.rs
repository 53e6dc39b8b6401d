//! Moving a shard to another database while passengers ride.
//!
//! The copy is compared and put right again and again until little is left to do; then writes to the shard wait, the rest is
//! copied, both sides are compared, and the database that held it gives it away in one commit: that is the moment. Each step is a
//! compare-and-set of the shard's row in `shard_map`, under a number that this move has drawn: whoever takes it over, or calls it
//! off, stops who was at it before, and a move that was cut off goes on with the next one (`docs/decisions/0021-moving-a-shard.md`).

mod copy;
pub mod failpoints;
mod rows;
mod steps;
mod tables;

use std::time::Duration;

pub use copy::Checksum;
pub(crate) use rows::Rows;
use runtime::{Stopwatch, failpoint};

use super::{
    Shards, StoreError,
    place::{Place, State},
};
use crate::value::Shard;

/// Every node asks at least as often whether a shard is being moved.
pub(super) const ASKED_EVERY: Duration = Duration::from_secs(1);
/// And so often while one is.
pub(super) const ASKED_MEANWHILE: Duration = Duration::from_millis(50);
/// So long after it was announced every node follows the move closely.
const ANNOUNCED_FOR: Duration = Duration::from_secs(3);
/// So long after it was given away every node looks for the shard in its new place: only then may it be written there.
const LEARNED_WITHIN: Duration = Duration::from_millis(200);
/// Fewer rows that differ are copied while writes wait.
const FEW: usize = 200;
/// How often the copy is brought closer before writes wait.
const MOST_PASSES: u32 = 20;
/// How often writes are kept waiting before the move is given up.
const MOST_TRIES: u32 = 5;

/// What is to be moved, and how.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Which shard.
    pub shard: Shard,
    /// To which database, from 0.
    pub to: usize,
    /// How long writes to the shard may wait.
    pub pause: Duration,
    /// How long the rows stay where they were, for readers that are late.
    pub keep: Duration,
}

/// How far a move is.
#[derive(Clone, Copy, Debug)]
pub enum Progress {
    /// So many rows of the copy differed and were put right.
    Copied {
        /// Which time, from 1.
        pass: u32,
        /// How many rows so far.
        rows: u64,
        /// How many there are.
        of: u64,
    },
    /// The copy took longer than writes may wait: they go on, and it is tried again.
    Reopened {
        /// How long they have waited.
        pause: Duration,
    },
    /// It is where it was to be.
    Moved {
        /// How long writes have waited.
        pause: Duration,
    },
    /// So many rows were removed where it was.
    Removed {
        /// How many so far.
        rows: u64,
    },
}

/// What has become of a shard.
#[derive(Clone, Debug)]
pub struct Moved {
    /// Where it was, from 0; nothing when an earlier move had come as far, and this one has put an end to it.
    pub from: Option<usize>,
    /// Each table with what it holds of the shard: the same on both sides before it was given away.
    pub tables: Vec<(&'static str, Checksum)>,
    /// How often the copy was compared before writes waited.
    pub passes: u32,
    /// How long they waited.
    pub pause: Duration,
}

/// Why a move did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// It cannot be moved there.
    #[error("{0}")]
    Refused(String),
    /// Somebody else is in charge of the shard now.
    #[error(
        "the move was called off: by another one, by a gateway whose store.shards lacks the database, or because it stood still while \
         writes waited (gateways say so in their logs)"
    )]
    Overtaken,
    /// The copy cannot be brought close enough in the time.
    #[error(
        "writes would have waited {needed:?}, and {allowed:?} are allowed: move it at a quieter hour or with a longer pause"
    )]
    TooSlow {
        /// What it took at last.
        needed: Duration,
        /// What was allowed.
        allowed: Duration,
    },
    /// It was moved, but what it has left is not in order yet.
    #[error("it was moved, and what it has left where it was is still to be removed: {0}")]
    Unfinished(Box<Self>),
    /// A database failed. The next move of the shard goes on where this one stopped.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Shards {
    /// Moves a shard. What an earlier move has left undone is done first; a shard that is there already is left alone.
    ///
    /// # Errors
    /// See [`Failed`].
    pub async fn move_shard(&self, plan: Plan, tell: &(dyn Fn(Progress) + Sync)) -> Result<Moved, Failed> {
        if plan.to >= self.count() {
            let (to, named) = (plan.to + 1, self.count());
            return Err(Failed::Refused(format!("there is no database {to}: store.shards names {named}")));
        }
        let mut moving = Moving::find(self, plan, tell).await?;
        if moving.owner == plan.to {
            moving.end().await?;
            return Ok(Moved { from: None, tables: moving.checksums().await?, passes: 0, pause: Duration::ZERO });
        }
        moving.announce().await?;
        failpoint::reach(failpoints::ANNOUNCED);
        let announced = Stopwatch::start();
        let (mut passes, mut tries, mut needed) = (0, 0, Duration::ZERO);
        loop {
            passes += moving.catch_up(&announced).await?;
            failpoint::reach(failpoints::COPIED);
            match moving.give_away().await? {
                steps::Given::Away { tables, pause } => {
                    let from = Some(moving.source);
                    moving.end().await.map_err(|failed| Failed::Unfinished(Box::new(failed)))?;
                    return Ok(Moved { from, tables, passes, pause });
                }
                steps::Given::Kept { pause, needed: more } => {
                    tell(Progress::Reopened { pause });
                    needed = needed.max(more);
                    tries += 1;
                }
            }
            if tries == MOST_TRIES {
                moving.call_off().await?;
                return Err(Failed::TooSlow { needed, allowed: plan.pause });
            }
        }
    }
}

/// A move that is under way.
struct Moving<'s> {
    shards: &'s Shards,
    tables: Vec<Rows>,
    plan: Plan,
    tell: &'s (dyn Fn(Progress) + Sync),
    move_id: i64,
    /// Who holds the shard now.
    owner: usize,
    /// Who held it before.
    source: usize,
    /// What each database says of it.
    places: Vec<Place>,
    /// How long comparing it took last.
    pass_takes: Duration,
}

impl Moving<'_> {
    fn place(&self, state: State, database: usize, epoch: i32, other: usize) -> Place {
        Place { database, epoch, state, other: Some(other), move_id: Some(self.move_id) }
    }
}

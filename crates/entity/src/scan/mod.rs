//! Tables `scans` and `scan_findings`: comparisons of the whole driver index with the rides' logs, how far each came, and
//! what it found. They belong to no passenger and lie in the first shard.

mod finding;
mod row;

pub(crate) use finding::rows as finding_rows;
pub use finding::{Finding, Mended, Mismatch};
use sea_orm::{QueryOrder, QuerySelect, entity::prelude::*};

use crate::{
    IndexRow,
    store::{Conn, Rows, StoreError, Tx},
    value::{Id, Millis, Shard},
};

/// How long a node has a scan to itself after it was last heard of, milliseconds.
pub const LEASE_MS: i64 = 15_000;
/// Findings that are kept of one scan; more are only counted.
pub const MOST_FINDINGS: u64 = 100_000;
/// Scans that are kept, with the running one.
const KEPT: u64 = 10;

/// Its rows, for who moves a shard.
pub(crate) fn rows() -> Rows {
    Rows::of::<row::scan::Entity>()
}

/// A scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// The id, which tells when it was begun.
    pub id: Id<Self>,
    /// Whether it goes on.
    pub state: ScanState,
    /// How often it was taken up.
    pub epoch: i32,
    /// Until when whoever works on it has it to itself.
    pub lease_until: Millis,
    /// The hours of ride ids that it is about (see [`Id::hour`]).
    pub first_hour: i32,
    /// Those before this one have been compared.
    pub next_hour: i32,
    /// The last one is compared together with all that come.
    pub last_hour: i32,
    /// What was compared and found.
    pub counts: ScanCounts,
    /// Milliseconds of work, without the pauses in which nobody worked on it.
    pub worked_ms: i64,
    /// When everything had been compared.
    pub finished_at: Option<Millis>,
    /// Why nobody could go on, the last time.
    pub last_error: Option<String>,
}

/// Whether a scan goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i16)]
pub enum ScanState {
    /// There is more to compare.
    Running = 0,
    /// Everything has been compared.
    Finished = 1,
}

/// What was compared and found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScanCounts {
    /// Pairs of a ride and a driver who accepted it, by the logs.
    pub acceptances: u64,
    /// Rows of the index.
    pub index_rows: u64,
    /// Acceptances without a row.
    pub missing_index: u64,
    /// Rows without an acceptance.
    pub stale_index: u64,
    /// Of which it cannot be told.
    pub in_doubt: u64,
    /// Rows that were still to be written when they were looked at last.
    pub in_flight: u64,
    /// Findings that are kept.
    pub findings: u64,
}

impl ScanCounts {
    /// What does not agree, or may not.
    #[must_use]
    pub fn mismatches(&self) -> u64 {
        self.missing_index + self.stale_index + self.in_doubt
    }
}

impl Scan {
    /// Where scans lie.
    pub const SHARD: Shard = Shard::FIRST;

    /// When it was begun.
    #[must_use]
    pub fn started_at(&self) -> Millis {
        self.id.created_at()
    }

    /// How much of its hours has been compared, 0…1.
    #[must_use]
    pub fn progress(&self) -> f64 {
        let all = f64::from(self.last_hour - self.first_hour + 1);
        match self.state {
            ScanState::Running => (f64::from(self.next_hour - self.first_hour) / all).clamp(0.0, 1.0),
            ScanState::Finished => 1.0,
        }
    }

    /// Begins a scan of these hours; `None` when one is running. Nobody works on it yet. Old ones go.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn begin(tx: &Tx, first_hour: i32, last_hour: i32, now: Millis) -> Result<Option<Self>, StoreError> {
        let scan = Self {
            id: tx.draw(now, Self::SHARD)?,
            state: ScanState::Running,
            epoch: 0,
            lease_until: Millis(0),
            first_hour,
            next_hour: first_hour,
            last_hour: last_hour.max(first_hour),
            counts: ScanCounts::default(),
            worked_ms: 0,
            finished_at: None,
            last_error: None,
        };
        if tx.insert_unless_there([scan.new_row()?]).await? == 1 {
            Self::forget_old(tx).await?;
            return Ok(Some(scan));
        }
        match Self::running(tx).await? {
            Some(_) => Ok(None),
            None => Err(tx.collision()),
        }
    }

    /// The scan that is running.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn running(conn: impl Into<Conn<'_>>) -> Result<Option<Self>, StoreError> {
        let query = row::scan::Entity::find()
            .filter(row::scan::Column::Shard.eq(Self::SHARD.number()))
            // Not a value of the statement's: the index holds these.
            .filter(Expr::cust("state = 0"));
        query.one(&conn.into().0).await?.map(Self::try_from).transpose()
    }

    /// The latest scan that came to its end.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn latest_finished(conn: impl Into<Conn<'_>>) -> Result<Option<Self>, StoreError> {
        let query = row::scan::Entity::find()
            .filter(row::scan::Column::Shard.eq(Self::SHARD.number()))
            .filter(row::scan::Column::State.eq(ScanState::Finished as i16))
            .order_by_desc(row::scan::Column::Id);
        query.one(&conn.into().0).await?.map(Self::try_from).transpose()
    }

    /// A scan.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn find(conn: impl Into<Conn<'_>>, id: Id<Self>) -> Result<Option<Self>, StoreError> {
        let query = row::scan::Entity::find_by_id((Self::SHARD.number(), id.value()));
        query.one(&conn.into().0).await?.map(Self::try_from).transpose()
    }

    /// Takes the scan up for [`LEASE_MS`], if nobody has it. What somebody who had it before left behind without a
    /// checkpoint is forgotten.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn take_up(&self, tx: &Tx, now: Millis) -> Result<Option<Self>, StoreError> {
        // One that lasts longer than anybody takes it for is from before the clock was set back.
        let is_free = self.lease_until <= now || self.lease_until > now.plus_ms(2 * LEASE_MS);
        if !is_free {
            return Ok(None);
        }
        let mine = Self { epoch: self.epoch + 1, lease_until: now.plus_ms(LEASE_MS), ..self.clone() };
        if !mine.store(tx, self.epoch).await? {
            return Ok(None);
        }
        Finding::forget_after(tx, self).await?;
        Ok(Some(mine))
    }

    /// Goes on having it.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when somebody else took it up; [`StoreError`] when the database fails.
    pub async fn keep(&self, tx: &Tx, now: Millis) -> Result<(), StoreError> {
        let kept = Self { lease_until: now.plus_ms(LEASE_MS), ..self.clone() };
        if kept.store(tx, self.epoch).await? { Ok(()) } else { Err(StoreError::Conflict) }
    }

    /// Keeps findings behind the `after` that are kept already. They count from the next checkpoint on.
    ///
    /// # Errors
    /// As [`Scan::keep`].
    pub async fn note(
        &self,
        tx: &Tx,
        after: u64,
        found: &[(IndexRow, Mismatch)],
        now: Millis,
    ) -> Result<(), StoreError> {
        self.keep(tx, now).await?;
        Finding::insert(tx, self.id, after, found).await
    }

    /// The scan when everything has been compared.
    #[must_use]
    pub fn finished(self, now: Millis) -> Self {
        Self { state: ScanState::Finished, finished_at: Some(now), ..self }
    }

    /// Notes how far it came.
    ///
    /// # Errors
    /// As [`Scan::keep`].
    pub async fn check_point(&self, tx: &Tx) -> Result<(), StoreError> {
        if self.store(tx, self.epoch).await? { Ok(()) } else { Err(StoreError::Conflict) }
    }

    /// Lets go of it, so that anybody may take it up at once; `error` is why, if that was the reason.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn let_go(&self, tx: &Tx, error: Option<&str>, now: Millis) -> Result<(), StoreError> {
        let last_error = error.map(|error| error.chars().take(500).collect());
        // After an error the next try has a little time.
        let lease_until = if error.is_some() { now.plus_ms(LEASE_MS / 5) } else { Millis(0) };
        Self { lease_until, last_error, ..self.clone() }.store(tx, self.epoch).await?;
        Ok(())
    }

    /// Writes what may change, if it is running and still at `epoch`.
    async fn store(&self, tx: &Tx, epoch: i32) -> Result<bool, StoreError> {
        let done = row::scan::Entity::update_many()
            .set(self.changing()?)
            .filter(row::scan::Column::Shard.eq(Self::SHARD.number()))
            .filter(row::scan::Column::Id.eq(self.id.value()))
            .filter(row::scan::Column::State.eq(ScanState::Running as i16))
            .filter(row::scan::Column::Epoch.eq(epoch))
            .exec(&tx.inner)
            .await?;
        Ok(done.rows_affected == 1)
    }

    async fn forget_old(tx: &Tx) -> Result<(), StoreError> {
        let old: Vec<i64> = row::scan::Entity::find()
            .select_only()
            .column(row::scan::Column::Id)
            .filter(row::scan::Column::Shard.eq(Self::SHARD.number()))
            .order_by_desc(row::scan::Column::Id)
            .offset(KEPT)
            .limit(KEPT)
            .into_tuple()
            .all(&tx.inner)
            .await?;
        for id in old.into_iter().map(Id::raw) {
            Finding::forget_all(tx, id).await?;
            row::scan::Entity::delete_by_id((Self::SHARD.number(), id.value())).exec(&tx.inner).await?;
        }
        Ok(())
    }
}

//! What there is about a driver and a ride, and what it means.

use std::collections::BTreeSet;

use entity::{
    Acceptance, Attempt, Barrier, DriverRide, IndexRow, Mismatch, OutboxEntry, Prepared, Ride, Shards, StoreError,
    Transaction,
    value::{Id, Millis},
};

/// Rows that are held ready, at most, in each database.
const MOST_HELD: u64 = 1000;
/// Rows that are looked at together: each is a term of a few questions.
const TOGETHER: usize = 100;

/// How the index stands to the log. The worse, the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// They agree.
    Consistent,
    /// They do not agree yet: the row is being written.
    InFlight,
    /// It cannot be told: a transaction waits for its decision, or the log cannot be read.
    InDoubt,
    /// A row without an acceptance, or where nobody looks for it.
    StaleIndex,
    /// An acceptance without its row.
    MissingIndex,
}

impl State {
    /// Its name in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Consistent => "consistent",
            Self::InFlight => "in_flight",
            Self::InDoubt => "in_doubt",
            Self::StaleIndex => "stale_index",
            Self::MissingIndex => "missing_index",
        }
    }

    /// A mismatch as a scan keeps it.
    #[must_use]
    pub fn of(mismatch: Mismatch) -> Self {
        match mismatch {
            Mismatch::MissingIndex => Self::MissingIndex,
            Mismatch::StaleIndex => Self::StaleIndex,
            Mismatch::InDoubt => Self::InDoubt,
        }
    }

    /// The worst of several; nothing is consistent.
    pub(super) fn worst<'e>(evidence: impl IntoIterator<Item = &'e Evidence>) -> Self {
        evidence.into_iter().map(Evidence::state).max().unwrap_or(Self::Consistent)
    }
}

/// Why index and log may differ without being wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsettled {
    /// It is decided that the row is written, and a message or a transaction does it.
    Write,
    /// The row is held ready at the driver's side, and nobody has decided yet at the ride's.
    Undecided,
    /// An event of the ride cannot be read: it may have been the acceptance.
    Unreadable,
}

impl Unsettled {
    /// Its name in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Write => "write_under_way",
            Self::Undecided => "decision_pending",
            Self::Unreadable => "log_unreadable",
        }
    }
}

/// What was found about one driver and one ride.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Where the index row lies, or where it would.
    pub row: IndexRow,
    /// Whether it is there.
    pub is_indexed: bool,
    /// The driver's last acceptance in the ride's log.
    pub accepted: Option<Acceptance>,
    /// Why they may differ.
    pub unsettled: Option<Unsettled>,
}

impl Evidence {
    /// What it means.
    #[must_use]
    pub fn state(&self) -> State {
        if self.row.is_misplaced() {
            return if self.is_indexed { State::StaleIndex } else { State::Consistent };
        }
        match (&self.accepted, self.is_indexed, self.unsettled) {
            (None, false, Some(Unsettled::Undecided)) => State::InDoubt,
            (Some(_), true, _) | (None, false, _) => State::Consistent,
            (Some(_), false, Some(Unsettled::Write)) => State::InFlight,
            (Some(_), false, _) => State::MissingIndex,
            (None, true, Some(Unsettled::Unreadable)) => State::InDoubt,
            (None, true, _) => State::StaleIndex,
        }
    }

    /// What two lists that were read one after the other say of a row.
    pub(super) fn at_a_glance(row: IndexRow, is_indexed: bool, accepted: Option<Acceptance>) -> Self {
        Self { row, is_indexed, accepted, unsettled: None }
    }

    /// Looks closely at rows that seemed not to agree. What is written meanwhile is no mismatch: an acceptance counts as
    /// lacking its row only if it was in the log, with no message under way, before the row was looked for; a row as
    /// lacking its acceptance only if that is not in the log after the row was seen. So the log is read first, and last.
    ///
    /// # Errors
    /// [`StoreError`] when a database fails: then nothing can be said.
    pub async fn look(shards: &Shards, rows: &[IndexRow]) -> Result<Vec<Self>, StoreError> {
        let mut found = Vec::with_capacity(rows.len());
        for rows in rows.chunks(TOGETHER) {
            found.extend(look_together(shards, rows).await?);
        }
        Ok(found)
    }
}

/// Rows that are held ready at the drivers' side. Those that are decided are in the log, or will never be rows.
///
/// # Errors
/// [`StoreError`] when no database answers.
pub(super) async fn held(shards: &Shards) -> Result<Vec<Attempt>, StoreError> {
    if shards.count() == 1 {
        return Ok(vec![]);
    }
    // Also those that their own node has to itself.
    let reserved = Barrier::list_due(shards, Millis(i64::MAX), 0, MOST_HELD).await?;
    let prepared = Prepared::list_left(shards, 0).await?;
    Ok(reserved.into_iter().map(|barrier| barrier.attempt).chain(prepared).collect())
}

/// Notes what was held ready before the logs were read, and had not been decided when they were.
pub(super) fn add_held(evidence: &mut Vec<Evidence>, held: impl IntoIterator<Item = Attempt>) {
    for Attempt { ride_id, driver_id, .. } in held {
        let row = IndexRow::of(driver_id, ride_id);
        let undecided = Evidence { unsettled: Some(Unsettled::Undecided), ..Evidence::at_a_glance(row, false, None) };
        if evidence.iter().all(|known| known.row != undecided.row) {
            evidence.push(undecided);
        }
    }
}

/// The rows that do not agree.
pub(super) fn mismatches(evidence: &[Evidence]) -> Vec<IndexRow> {
    let disagree = evidence.iter().filter(|found| found.state() != State::Consistent);
    disagree.map(|found| found.row.clone()).collect()
}

/// Looks closely at those that do not agree at a glance.
///
/// # Errors
/// As [`Evidence::look`].
pub(super) async fn settle(shards: &Shards, mut evidence: Vec<Evidence>) -> Result<Vec<Evidence>, StoreError> {
    let (mut places, mut rows) = (Vec::new(), Vec::new());
    for (place, found) in evidence.iter().enumerate().filter(|(_, found)| found.state() != State::Consistent) {
        places.push(place);
        rows.push(found.row.clone());
    }
    for (place, found) in places.into_iter().zip(Evidence::look(shards, &rows).await?) {
        evidence[place] = found;
    }
    Ok(evidence)
}

async fn look_together(shards: &Shards, rows: &[IndexRow]) -> Result<Vec<Evidence>, StoreError> {
    let before = Ride::acceptances(shards, &rides(rows)).await?;
    let accepted: Vec<_> =
        rows.iter().filter(|row| before.last(&row.driver_id, row.ride_id).is_some()).cloned().collect();
    let mut under_way = OutboxEntry::unindexed(shards, &rides(&accepted)).await?;
    under_way.extend(Transaction::committed(shards, &rides(&accepted)).await?);
    let indexed = DriverRide::present(shards, rows).await?;
    let unexplained: Vec<_> = indexed.iter().filter(|row| !accepted.contains(row)).cloned().collect();
    let after = Ride::acceptances(shards, &rides(&unexplained)).await?;
    let evidence = rows.iter().map(|row| {
        let (driver_id, ride_id) = (&row.driver_id, row.ride_id);
        let unsettled = if after.unreadable.contains(&ride_id) {
            Some(Unsettled::Unreadable)
        } else {
            under_way.contains(&(ride_id, driver_id.clone())).then_some(Unsettled::Write)
        };
        let accepted = before.last(driver_id, ride_id).or_else(|| after.last(driver_id, ride_id));
        let accepted = accepted.cloned();
        Evidence { row: row.clone(), is_indexed: indexed.contains(row), accepted, unsettled }
    });
    Ok(evidence.collect())
}

/// Their rides, each once.
fn rides(rows: &[IndexRow]) -> Vec<Id<Ride>> {
    let rides: BTreeSet<_> = rows.iter().map(|row| row.ride_id).collect();
    rides.into_iter().collect()
}

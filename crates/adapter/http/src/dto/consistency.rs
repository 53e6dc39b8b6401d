//! Whether the driver index agrees with the rides, as operators are told.

use entity::{Acceptance, Finding, Mended, RideStatus, Scan, ScanState, value::Millis};
use serde::Serialize;
use usecase::consistency::{DriverFindings, Evidence, RepairedRow, RideFindings, ScanRepair, State, Unsettled};

use super::rfc3339;

/// Of one ride.
#[derive(Serialize)]
pub struct RideCheckView {
    ride_id: String,
    state: &'static str,
    /// Null when index rows name a ride that does not exist.
    ride_status: Option<RideStatus>,
    evidence: Vec<EvidenceView>,
    checked_at: String,
}

impl RideCheckView {
    /// What was found at `now`.
    #[must_use]
    pub fn new(ride_id: String, found: &RideFindings, now: Millis) -> Self {
        let evidence = found.evidence.iter().map(EvidenceView::from).collect();
        let (state, checked_at) = (found.state.name(), rfc3339(now));
        Self { ride_id, state, ride_status: found.status, evidence, checked_at }
    }
}

/// Of one driver, a page.
#[derive(Serialize)]
pub struct DriverCheckView {
    driver_id: String,
    state: &'static str,
    evidence: Vec<EvidenceView>,
    next_cursor: Option<String>,
    checked_at: String,
}

impl DriverCheckView {
    /// What was found at `now`.
    #[must_use]
    pub fn new(driver_id: String, found: &DriverFindings, now: Millis) -> Self {
        let evidence = found.evidence.iter().map(EvidenceView::from).collect();
        let next_cursor = found.next.map(|id| id.to_string());
        Self { driver_id, state: found.state.name(), evidence, next_cursor, checked_at: rfc3339(now) }
    }
}

/// What there is about one driver and one ride.
#[derive(Serialize)]
pub struct EvidenceView {
    driver_id: String,
    ride_id: String,
    state: &'static str,
    /// The acceptance in the ride's log; null when there is none.
    accepted: Option<AcceptedView>,
    /// Whether the index has the row.
    indexed: bool,
    /// Where the row lies, or belongs.
    index_shard: i16,
    /// Whether it lies where no reader looks.
    misplaced: bool,
    /// Why the two may differ: `write_under_way`, `log_unreadable`; null when nothing excuses it.
    unsettled: Option<&'static str>,
}

/// An acceptance in a log.
#[derive(Serialize)]
struct AcceptedView {
    seq: i32,
    at: String,
}

impl From<&Acceptance> for AcceptedView {
    fn from(acceptance: &Acceptance) -> Self {
        Self { seq: acceptance.seq, at: rfc3339(acceptance.at) }
    }
}

impl From<&Evidence> for EvidenceView {
    fn from(found: &Evidence) -> Self {
        Self {
            driver_id: found.row.driver_id.to_string(),
            ride_id: found.row.ride_id.to_string(),
            state: found.state().name(),
            accepted: found.accepted.as_ref().map(AcceptedView::from),
            indexed: found.is_indexed,
            index_shard: found.row.shard.number(),
            misplaced: found.row.is_misplaced(),
            unsettled: found.unsettled.map(Unsettled::name),
        }
    }
}

/// What was, or would be, put right.
#[derive(Serialize)]
pub struct RepairView {
    dry_run: bool,
    /// Rows that did not agree; `repaired` is `written`, `removed`, `later` or `nothing`.
    rows: Vec<RepairedView>,
    /// Rows that still do not agree.
    left: u64,
    next_cursor: Option<String>,
}

#[derive(Serialize)]
struct RepairedView {
    #[serde(flatten)]
    evidence: EvidenceView,
    repaired: &'static str,
}

impl RepairView {
    /// What became of each row, and where the next page of them starts.
    #[must_use]
    pub fn new(dry_run: bool, rows: &[RepairedRow], next_cursor: Option<String>) -> Self {
        let left = rows.iter().filter(|row| !row.is_settled(dry_run)).count() as u64;
        Self { dry_run, rows: rows.iter().map(RepairedView::from).collect(), left, next_cursor }
    }

    /// What became of some findings of a scan; `left` counts all of them.
    #[must_use]
    pub fn of_scan(dry_run: bool, repaired: &ScanRepair) -> Self {
        let next = repaired.next.map(|number| number.to_string());
        Self { left: repaired.left, ..Self::new(dry_run, &repaired.rows, next) }
    }
}

impl From<&RepairedRow> for RepairedView {
    fn from(row: &RepairedRow) -> Self {
        Self { evidence: EvidenceView::from(&row.evidence), repaired: row.repaired.name() }
    }
}

/// A scan of everything.
#[derive(Serialize)]
pub struct ScanView {
    id: String,
    /// `running` or `finished`.
    state: &'static str,
    started_at: String,
    finished_at: Option<String>,
    /// Of the hours, 0…1.
    progress: f64,
    /// Seconds of work.
    worked_s: f64,
    /// Pairs of a ride and a driver that were compared, by the logs.
    acceptances: u64,
    /// Rows of the index that were compared.
    index_rows: u64,
    mismatches: MismatchesView,
    /// Rows that were still to be written when they were looked at last.
    in_flight: u64,
    /// Mismatches that are kept; the rest is only counted.
    kept: u64,
    /// Why it could not go on, the last time.
    last_error: Option<String>,
    findings: Vec<FindingView>,
    next_cursor: Option<String>,
}

#[derive(Serialize)]
struct MismatchesView {
    missing_index: u64,
    stale_index: u64,
    in_doubt: u64,
}

#[derive(Serialize)]
struct FindingView {
    driver_id: String,
    ride_id: String,
    index_shard: i16,
    state: &'static str,
    /// `written`, `removed`, `nothing` when it agreed by then; null before a repair.
    repaired: Option<&'static str>,
}

impl ScanView {
    /// A page of what it found, and after which number the next one begins.
    #[must_use]
    pub fn new(scan: &Scan, findings: &[Finding], next: Option<i64>) -> Self {
        let counts = &scan.counts;
        Self {
            id: scan.id.to_string(),
            state: match scan.state {
                ScanState::Running => "running",
                ScanState::Finished => "finished",
            },
            started_at: rfc3339(scan.started_at()),
            finished_at: scan.finished_at.map(rfc3339),
            progress: (scan.progress() * 1000.0).round() / 1000.0,
            worked_s: scan.worked_ms as f64 / 1000.0,
            acceptances: counts.acceptances,
            index_rows: counts.index_rows,
            mismatches: MismatchesView {
                missing_index: counts.missing_index,
                stale_index: counts.stale_index,
                in_doubt: counts.in_doubt,
            },
            in_flight: counts.in_flight,
            kept: counts.findings,
            last_error: scan.last_error.clone(),
            findings: findings.iter().map(FindingView::from).collect(),
            next_cursor: next.map(|number| number.to_string()),
        }
    }
}

impl From<&Finding> for FindingView {
    fn from(finding: &Finding) -> Self {
        Self {
            driver_id: finding.row.driver_id.to_string(),
            ride_id: finding.row.ride_id.to_string(),
            index_shard: finding.row.shard.number(),
            state: State::of(finding.mismatch).name(),
            repaired: finding.mended.map(|mended| match mended {
                Mended::Nothing => "nothing",
                Mended::Written => "written",
                Mended::Removed => "removed",
            }),
        }
    }
}

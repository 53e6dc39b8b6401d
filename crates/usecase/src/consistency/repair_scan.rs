//! Puts right what a scan found.

use entity::{Finding, Mended, Scan, Shards, StoreError, value::Id};

use super::{Repair, Repaired, RepairedRow};

/// Findings of one call.
const PAGE: u64 = 500;
/// Findings that are looked at, and marked, together.
const BATCH: usize = 50;

/// The use case.
#[derive(Clone)]
pub struct RepairScan {
    pub(super) shards: Shards,
    pub(super) repair: Repair,
}

/// What became of some findings of a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanRepair {
    /// The scan.
    pub scan: Scan,
    /// A row for each finding that nothing was made of before.
    pub rows: Vec<RepairedRow>,
    /// Findings of the whole scan that nothing was made of yet.
    pub left: u64,
    /// Go on after this finding; `None` at the end.
    pub next: Option<i64>,
}

impl RepairScan {
    /// Puts right what the scan found, some hundred findings after the number `after`; `None` for no such scan. What was
    /// put right before is passed over. A dry run says what would be done.
    ///
    /// # Errors
    /// [`StoreError`] when a database fails; findings before the failure were put right.
    pub async fn run(&self, scan_id: Id<Scan>, after: i64, dry_run: bool) -> Result<Option<ScanRepair>, StoreError> {
        let conn = || self.shards.read(Scan::SHARD);
        let Some(scan) = Scan::find(conn(), scan_id).await? else { return Ok(None) };
        let page = Finding::page(conn(), &scan, after, PAGE).await?;
        let next = page.last().map(|last| last.number).filter(|_| page.len() as u64 == PAGE);
        let open: Vec<Finding> = page.into_iter().filter(|finding| finding.mended.is_none()).collect();
        let mut rows = Vec::with_capacity(open.len());
        for findings in open.chunks(BATCH) {
            let wanted: Vec<_> = findings.iter().map(|finding| finding.row.clone()).collect();
            let repaired = self.repair.run(&wanted, dry_run).await?;
            if !dry_run {
                self.mark(scan_id, findings, &repaired).await?;
            }
            rows.extend(repaired);
        }
        let left = Finding::left(conn(), &scan).await?;
        Ok(Some(ScanRepair { scan, rows, left, next }))
    }

    async fn mark(&self, scan_id: Id<Scan>, findings: &[Finding], repaired: &[RepairedRow]) -> Result<(), StoreError> {
        let settled: Vec<(Finding, Mended)> = findings
            .iter()
            .zip(repaired)
            .filter(|(_, row)| row.is_settled(false))
            .map(|(finding, row)| (finding.clone(), mended(row.repaired)))
            .collect();
        let mark = self.shards.write::<_, StoreError, _>(Scan::SHARD, move |tx| {
            let settled = settled.clone();
            Box::pin(async move {
                for (finding, mended) in settled {
                    finding.mark(tx, scan_id, mended).await?;
                }
                Ok(())
            })
        });
        mark.await
    }
}

fn mended(repaired: Repaired) -> Mended {
    match repaired {
        Repaired::Written => Mended::Written,
        Repaired::Removed => Mended::Removed,
        Repaired::Nothing | Repaired::Later => Mended::Nothing,
    }
}

//! Scans and what they found.

use entity::{Finding, Mended, Mismatch, Scan, ScanCounts};

use super::{Case, reads, writes};
use crate::{database::NOW, seed};

const PAGE: u64 = 500;

/// As it is after so many findings.
fn found(scan: &Scan, findings: u64) -> Scan {
    Scan { counts: ScanCounts { findings, ..scan.counts }, ..scan.clone() }
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = reads! { w =>
        Scan::running(w.at(Scan::SHARD));
        Scan::latest_finished(w.at(Scan::SHARD));
        Scan::find(w.at(Scan::SHARD), seed::scan(777));
        Finding::page(w.at(Scan::SHARD), &w.finished, 0, PAGE);
        Finding::page(w.at(Scan::SHARD), &w.finished, 7_000, PAGE);
        Finding::left(w.at(Scan::SHARD), &w.finished);
    };
    cases.extend(writes! { tx, w =>
        Scan::begin(tx, 1, 2, NOW);
        Scan::begin(w.without_scan(tx).await?, 1, 2, NOW);
        Scan::take_up(&w.running, tx, NOW);
        Scan::keep(&w.running, tx, NOW);
        Scan::note(&w.running, tx, 0, &[(w.row.clone(), Mismatch::StaleIndex)], NOW);
        Scan::check_point(&found(&w.running, 1), tx);
        Scan::let_go(&w.running, tx, None, NOW);
        Finding::mark(&w.finding, tx, w.finished.id, Mended::Removed);
    });
    cases
}

//! How far a scan is, for people.

use std::{
    io::{IsTerminal, Write as _},
    sync::atomic::{AtomicU32, Ordering},
};

use entity::Scan;

/// One line that changes, or where nobody looks at a terminal a line for each tenth.
#[derive(Default)]
pub(super) struct Progress {
    tenths: AtomicU32,
}

impl Progress {
    pub(super) fn show(&self, scan: &Scan) {
        let counts = &scan.counts;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 100")]
        let percent = (scan.progress() * 100.0) as u32;
        let text = format!(
            "scan {}: {percent} %, {} acceptances, {} index rows, {} mismatches",
            scan.id,
            counts.acceptances,
            counts.index_rows,
            counts.mismatches(),
        );
        let mut out = std::io::stderr().lock();
        // A terminal that is gone is no reason to stop.
        if out.is_terminal() {
            let end = if percent == 100 { "\n" } else { "" };
            let _ = write!(out, "\r{text}\x1b[K{end}");
            let _ = out.flush();
        } else if self.tenths.fetch_max(percent / 10, Ordering::Relaxed) < percent / 10 {
            let _ = writeln!(out, "{text}");
        }
    }

    pub(super) fn say(&self, text: &str) {
        let _ = writeln!(std::io::stderr(), "{text}");
    }
}

//! One node's work on a scan.

use std::{collections::BTreeSet, ops::ControlFlow, time::Duration};

use entity::{
    IndexRow, Mismatch, Scan, ScanCounts, Shards, StoreError,
    ride::{Pair, RideRange},
    scan::{LEASE_MS, MOST_FINDINGS},
    value::{Millis, Shard},
};
use runtime::{Stopwatch, task::Shutdown};

use super::{
    Scanner, Told,
    listed::Listed,
    pace::Pace,
    sums::{Sums, Unequal},
    window::Window,
};
use crate::consistency::{Evidence, State, Unsettled};

/// Rows of buckets that differ which are compared one by one at a time. Few where tests run, which then come to the bound.
const TOGETHER: usize = if cfg!(debug_assertions) { 500 } else { 50_000 };
/// Shards that are asked together while they hold little.
const AMONG: usize = 64;
/// Suspects that are looked at, and noted, at a time.
const BATCH: usize = 100;
/// How often a suspect that is being written is looked at, a grace period apart.
const LOOKS: u32 = 4;
/// How often somebody is told how far it is.
const TELL_EVERY: Duration = Duration::from_millis(500);

/// Why the work ends before its end.
pub(super) enum Halt {
    /// The process is to end.
    Stopped,
    /// A database failed, or somebody else took the scan up.
    Store(StoreError),
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// A scan that was taken up.
pub(super) struct Run<'r> {
    scanner: &'r Scanner,
    shards: Shards,
    shutdown: &'r Shutdown,
    told: Told<'r>,
    /// As of its last checkpoint.
    scan: Scan,
    /// With what came since.
    counts: ScanCounts,
    since_checkpoint: Stopwatch,
    kept_at: Millis,
    told_at: Stopwatch,
    pace: Pace,
}

impl<'r> Run<'r> {
    pub(super) fn new(scanner: &'r Scanner, scan: Scan, shutdown: &'r Shutdown, told: Told<'r>) -> Self {
        Self {
            scanner,
            shards: scanner.shards.clone(),
            shutdown,
            told,
            counts: scan.counts,
            scan,
            since_checkpoint: Stopwatch::start(),
            kept_at: scanner.now(),
            told_at: Stopwatch::start(),
            pace: Pace::new(scanner.config.share),
        }
    }

    pub(super) fn into_scan(self) -> Scan {
        self.scan
    }

    /// Compares everything that has not been compared.
    pub(super) async fn finish(&mut self) -> Result<(), Halt> {
        let mut hours = Window::at_first();
        loop {
            let window = Window::next(&self.scan, hours);
            let before = self.counts.acceptances + self.counts.index_rows;
            self.compare(window).await?;
            self.check_point(window).await?;
            if window.is_last() {
                return Ok(());
            }
            hours = window.better_hours(self.counts.acceptances + self.counts.index_rows - before);
        }
    }

    async fn compare(&mut self, window: Window) -> Result<(), Halt> {
        let mut sums = Sums::new(window);
        let mut accepted = 0;
        self.each(&all_shards(), window.range(), |(ride_id, driver_id): Pair| {
            accepted += 1;
            sums.accepted(ride_id, &driver_id);
            ControlFlow::Continue(())
        })
        .await?;
        self.counts.acceptances += accepted;
        let mut rows = 0;
        self.each(&all_shards(), window.range(), |row: IndexRow| {
            rows += 1;
            sums.indexed(&row);
            ControlFlow::Continue(())
        })
        .await?;
        self.counts.index_rows += rows;
        for unequal in sums.unequal(TOGETHER as u64) {
            self.find_difference(unequal).await?;
        }
        Ok(())
    }

    /// Compares buckets that differ row by row. Where there are too many rows, parts of them one after the other.
    async fn find_difference(&mut self, unequal: Unequal) -> Result<(), Halt> {
        let mut ranges = vec![unequal.range];
        while let Some(range) = ranges.pop() {
            let (suspects, is_whole) = self.difference(range, &unequal.shards).await?;
            match range.halves() {
                Some([lower, upper]) if !is_whole => ranges.extend([upper, lower]),
                // The rows of a single ride that are too many for one scan are left to the next one.
                _ => self.look_at(suspects).await?,
            }
        }
        Ok(())
    }

    /// Rows that are on one side only, and whether they are all.
    async fn difference(&mut self, range: RideRange, shards: &BTreeSet<Shard>) -> Result<(Vec<IndexRow>, bool), Halt> {
        let mut differ = BTreeSet::new();
        let mut is_whole = true;
        let mut full = |differ: &BTreeSet<IndexRow>| match differ.len() < TOGETHER {
            true => ControlFlow::Continue(()),
            false => {
                is_whole = false;
                ControlFlow::Break(())
            }
        };
        self.each(&all_shards(), range, |(ride_id, driver_id): Pair| {
            let row = IndexRow::of(driver_id, ride_id);
            if shards.contains(&row.shard) {
                differ.insert(row);
            }
            full(&differ)
        })
        .await?;
        let shards: Vec<Shard> = shards.iter().copied().collect();
        self.each(&shards, range, |row: IndexRow| {
            if !differ.remove(&row) {
                differ.insert(row);
            }
            full(&differ)
        })
        .await?;
        Ok((differ.into_iter().collect(), is_whole))
    }

    /// Looks at suspects again when some time has passed, and notes what still does not agree.
    async fn look_at(&mut self, suspects: Vec<IndexRow>) -> Result<(), Halt> {
        let (shards, mut open) = (self.shards.clone(), suspects);
        for look in 1..=LOOKS {
            if open.is_empty() {
                return Ok(());
            }
            self.rest(Duration::from_millis(self.scanner.config.grace_ms.into())).await?;
            let mut again = Vec::new();
            for rows in open.chunks(BATCH) {
                let mut found = Vec::new();
                for evidence in self.ask(Evidence::look(&shards, rows)).await? {
                    let may_settle = evidence.unsettled.is_some_and(|why| why != Unsettled::Unreadable);
                    let mismatch = match evidence.state() {
                        State::Consistent => continue,
                        State::InFlight | State::InDoubt if may_settle && look < LOOKS => {
                            again.push(evidence.row);
                            continue;
                        }
                        State::InFlight => {
                            self.counts.in_flight += 1;
                            continue;
                        }
                        State::InDoubt => Mismatch::InDoubt,
                        State::StaleIndex => Mismatch::StaleIndex,
                        State::MissingIndex => Mismatch::MissingIndex,
                    };
                    found.push((evidence.row, mismatch));
                }
                self.note(found).await?;
            }
            open = again;
        }
        Ok(())
    }

    async fn note(&mut self, found: Vec<(IndexRow, Mismatch)>) -> Result<(), Halt> {
        for (_, mismatch) in &found {
            match mismatch {
                Mismatch::MissingIndex => self.counts.missing_index += 1,
                Mismatch::StaleIndex => self.counts.stale_index += 1,
                Mismatch::InDoubt => self.counts.in_doubt += 1,
            }
        }
        let (scan, after, now) = (self.scan.clone(), self.counts.findings, self.scanner.now());
        if found.is_empty() || after == MOST_FINDINGS {
            return Ok(());
        }
        self.counts.findings = MOST_FINDINGS.min(after + found.len() as u64);
        let note = self.shards.write::<_, StoreError, _>(Scan::SHARD, move |tx| {
            let (scan, found) = (scan.clone(), found.clone());
            Box::pin(async move { scan.note(tx, after, &found, now).await })
        });
        note.await?;
        self.kept_at = now;
        Ok(())
    }

    async fn check_point(&mut self, window: Window) -> Result<(), Halt> {
        let now = self.scanner.now();
        let worked_ms = i64::try_from(self.since_checkpoint.elapsed().as_millis()).unwrap_or(i64::MAX);
        let next = Scan {
            next_hour: window.end(),
            counts: self.counts,
            worked_ms: self.scan.worked_ms.saturating_add(worked_ms),
            lease_until: now.plus_ms(LEASE_MS),
            last_error: None,
            ..self.scan.clone()
        };
        let next = if window.is_last() { next.finished(now) } else { next };
        let stored = next.clone();
        let check_point = self.shards.write::<_, StoreError, _>(Scan::SHARD, move |tx| {
            let next = stored.clone();
            Box::pin(async move { next.check_point(tx).await })
        });
        check_point.await?;
        (self.scan, self.kept_at, self.since_checkpoint) = (next, now, Stopwatch::start());
        (self.told)(&self.scan);
        Ok(())
    }

    /// Everything that one side lists of these shards, until `see` has enough.
    async fn each<L: Listed>(
        &mut self,
        wanted: &[Shard],
        range: RideRange,
        mut see: impl FnMut(L) -> ControlFlow<()>,
    ) -> Result<(), Halt> {
        let (shards, limit) = (self.shards.clone(), u64::from(self.scanner.config.page));
        for among in wanted.chunks(AMONG) {
            if let Some(few) = self.ask(L::among(&shards, among, range, limit)).await? {
                if few.into_iter().try_for_each(&mut see).is_break() {
                    return Ok(());
                }
                continue;
            }
            for shard in among {
                let mut last: Option<L> = None;
                loop {
                    let page = self.ask(L::page(&shards, *shard, range, last.as_ref(), limit)).await?;
                    let is_last = (page.len() as u64) < limit;
                    last = page.last().cloned();
                    if page.into_iter().try_for_each(&mut see).is_break() {
                        return Ok(());
                    }
                    if is_last {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// The answer, and then a pause if one is due.
    async fn ask<T>(&mut self, question: impl Future<Output = Result<T, StoreError>>) -> Result<T, Halt> {
        let answer = question.await?;
        if self.told_at.elapsed() >= TELL_EVERY {
            (self.told)(&Scan { counts: self.counts, ..self.scan.clone() });
            self.told_at = Stopwatch::start();
        }
        if let Some(pause) = self.pace.pause() {
            self.rest(pause).await?;
        }
        Ok(answer)
    }

    /// Does nothing for a while, but goes on having the scan.
    async fn rest(&mut self, pause: Duration) -> Result<(), Halt> {
        let since = Stopwatch::start();
        loop {
            self.keep().await?;
            let left = pause.saturating_sub(since.elapsed()).min(Duration::from_millis(LEASE_MS.unsigned_abs() / 3));
            tokio::select! {
                biased;
                () = self.shutdown.wait() => return Err(Halt::Stopped),
                () = tokio::time::sleep(left) => {}
            }
            if since.elapsed() >= pause {
                self.pace.go_on();
                return Ok(());
            }
        }
    }

    /// Lets the others know that somebody works on it, when it is time.
    async fn keep(&mut self) -> Result<(), Halt> {
        let now = self.scanner.now();
        let since = now.since_ms(self.kept_at);
        if (0..LEASE_MS / 3).contains(&since) {
            return Ok(());
        }
        let scan = self.scan.clone();
        let keep = self.shards.write::<_, StoreError, _>(Scan::SHARD, move |tx| {
            let scan = scan.clone();
            Box::pin(async move { scan.keep(tx, now).await })
        });
        keep.await?;
        self.kept_at = now;
        Ok(())
    }
}

fn all_shards() -> Vec<Shard> {
    Shard::all().collect()
}

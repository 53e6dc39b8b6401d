//! The places: who is in, and up to where each priority may fill them.

use super::sync::{AtomicU32, Relaxed};
use crate::Priority;

/// Counts the requests that are in. Each operation is one atomic step on one number, so nothing is published through it
/// and every ordering may be relaxed.
#[repr(align(64))]
pub(super) struct Places {
    in_flight: AtomicU32,
    /// The most that were in since somebody asked.
    peak: AtomicU32,
    /// 1: somebody found no place since somebody asked.
    turned_away: AtomicU32,
    /// Only for those who ask what it is.
    limit: AtomicU32,
    /// For each priority: how many are in when no other one may enter.
    ceilings: [AtomicU32; Priority::COUNT],
}

impl Places {
    pub(super) fn new(limit: u32, ceilings: [u32; Priority::COUNT]) -> Self {
        let [in_flight, peak, turned_away, limit] = [0, 0, 0, limit].map(AtomicU32::new);
        Self { in_flight, peak, turned_away, limit, ceilings: ceilings.map(AtomicU32::new) }
    }

    /// Takes a place if there is one for `priority`; tells how many were in before, either way.
    pub(super) fn enter(&self, priority: Priority) -> Result<u32, u32> {
        let ceiling = self.ceilings[priority.index()].load(Relaxed);
        let entered = self.in_flight.fetch_update(Relaxed, Relaxed, |n| (n < ceiling).then_some(n + 1));
        match entered {
            Ok(before) => self.note(before + 1),
            Err(_) => self.note_turned_away(),
        }
        entered
    }

    /// Takes a place in any case; tells how many were in before, and whether there was a place for `priority`.
    pub(super) fn enter_anyway(&self, priority: Priority) -> (u32, bool) {
        let before = self.in_flight.fetch_add(1, Relaxed);
        self.note(before + 1);
        let fits = before < self.ceilings[priority.index()].load(Relaxed);
        if !fits {
            self.note_turned_away();
        }
        (before, fits)
    }

    pub(super) fn leave(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    pub(super) fn limit(&self) -> u32 {
        self.limit.load(Relaxed)
    }

    pub(super) fn set_limit(&self, limit: u32, ceilings: [u32; Priority::COUNT]) {
        self.limit.store(limit, Relaxed);
        for (ceiling, value) in self.ceilings.iter().zip(ceilings) {
            ceiling.store(value, Relaxed);
        }
    }

    /// How many more of `priority` could enter now.
    pub(super) fn room(&self, priority: Priority) -> u32 {
        self.ceilings[priority.index()].load(Relaxed).saturating_sub(self.in_flight())
    }

    /// How many priorities are shut while `in_flight` are in. Priority 0 is not among them: there is no higher level.
    pub(super) fn level(&self, in_flight: u32) -> u8 {
        self.ceilings[1..].iter().map(|ceiling| u8::from(in_flight >= ceiling.load(Relaxed))).sum()
    }

    /// The most that were in at once since this was last asked.
    pub(super) fn take_peak(&self) -> u32 {
        self.peak.swap(self.in_flight(), Relaxed)
    }

    /// Whether anybody found no place since this was last asked.
    pub(super) fn take_turned_away(&self) -> bool {
        self.turned_away.swap(0, Relaxed) == 1
    }

    fn note_turned_away(&self) {
        if self.turned_away.load(Relaxed) == 0 {
            self.turned_away.store(1, Relaxed);
        }
    }

    fn note(&self, in_flight: u32) {
        if in_flight > self.peak.load(Relaxed) {
            self.peak.fetch_max(in_flight, Relaxed);
        }
    }
}

//! Goes round and tells the connections whose time is up.

use std::{sync::Arc, sync::atomic::Ordering, time::Duration};

use runtime::{Stopwatch, task::Shutdown};

use super::{Door, slot::Verdict};

/// How often: a time-out is late by this much at most.
const EVERY: Duration = Duration::from_millis(250);
/// One log line in this time says how many were turned away, however many there are.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Runs until shutdown: then every connection is ended by the listeners.
pub(crate) async fn sweep(doors: Vec<(&'static str, Arc<Door>)>, shutdown: Shutdown) {
    let mut told: Option<Stopwatch> = None;
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = shutdown.wait() => return,
        }
        doors.iter().for_each(|(_, door)| door.end_those_whose_time_is_up());
        if told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            for (listener, door) in &doors {
                let refused = door.untold.swap(0, Ordering::Relaxed);
                if refused > 0 {
                    told = Some(Stopwatch::start());
                    tracing::warn!(listener, refused, open = door.register.open(), "connections were turned away");
                }
            }
        }
    }
}

impl Door {
    /// Leaves a verdict for each connection that has used up its time.
    pub(super) fn end_those_whose_time_is_up(&self) {
        let now_ms = self.now_ms();
        self.register.for_each(|slot| {
            let verdict = slot.judge(&self.rules, now_ms);
            if verdict != Verdict::Stay && slot.verdict() != verdict {
                slot.end_with(verdict);
            }
        });
    }
}

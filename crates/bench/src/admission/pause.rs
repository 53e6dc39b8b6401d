//! How long the longest of many calls took.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::clock;

/// The longest of many calls, milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Longest {
    /// By the clock on the wall: also the time in which the thread waited for a core or a lock.
    pub(crate) wall: f64,
    /// Processor time of the thread, the kernel's work for it (new pages) included.
    pub(crate) cpu: f64,
}

impl Longest {
    /// The longer of both, each way.
    pub(crate) fn max(self, other: Self) -> Self {
        Self { wall: self.wall.max(other.wall), cpu: self.cpu.max(other.cpu) }
    }

    /// Makes a call, and takes note if it is longer than those before.
    pub(crate) fn time(&mut self, call: impl FnOnce()) {
        let (began, cpu_before) = (clock::now(), cpu());
        call();
        let (cpu_after, wall) = (cpu(), began.elapsed());
        *self = self.max(Self { wall: ms(wall), cpu: ms(cpu_after.saturating_sub(cpu_before)) });
    }
}

/// Processor time of this thread since its start.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// In milliseconds.
pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_call_stays_and_waiting_is_no_processor_time() {
        let mut longest = Longest::default();
        longest.time(|| (0..100_000).for_each(|number| _ = std::hint::black_box(number)));
        let worked = longest;
        assert!(worked.wall > 0.0 && worked.cpu > 0.0, "{worked:?}");
        // Nobody sends: it waits for the whole time.
        let (_sender, nobody) = std::sync::mpsc::channel::<()>();
        let most = Duration::from_secs_f64(worked.wall / 1000.0) + Duration::from_millis(100);
        longest.time(|| _ = nobody.recv_timeout(most));
        assert!(longest.wall >= ms(most) && longest.cpu < longest.wall, "{longest:?}");
        longest.time(|| ());
        assert!(longest.wall >= ms(most));
    }
}

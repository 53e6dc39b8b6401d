//! How much of the time a scan works.

use std::time::Duration;

use runtime::Stopwatch;

/// Work is done in stretches of at least this, so that the pauses are worth a timer.
const STRETCH: Duration = Duration::from_millis(10);
/// The longest pause, after an answer that took very long.
const LONGEST: Duration = Duration::from_secs(5);

/// Works for a share of the time. A database that is busy answers late, and has the longer pauses for it.
pub(super) struct Pace {
    share: f64,
    working: Stopwatch,
}

impl Pace {
    /// Works for this share of the time, above 0, at most 1.
    pub(super) fn new(share: f64) -> Self {
        Self { share, working: Stopwatch::start() }
    }

    /// The pause that is due, if one is.
    pub(super) fn pause(&self) -> Option<Duration> {
        pause_after(self.working.elapsed(), self.share)
    }

    /// A pause is over.
    pub(super) fn go_on(&mut self) {
        self.working = Stopwatch::start();
    }
}

fn pause_after(worked: Duration, share: f64) -> Option<Duration> {
    let pause = worked.mul_f64(1.0 / share - 1.0).min(LONGEST);
    (worked >= STRETCH).then_some(pause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_of_the_time_is_three_times_as_long_a_pause() {
        let ms = Duration::from_millis;
        assert_eq!(pause_after(ms(20), 0.25), Some(ms(60)));
        assert_eq!(pause_after(ms(9), 0.25), None, "not worth a pause yet");
        assert_eq!(pause_after(ms(20), 1.0), Some(ms(0)), "time to look around");
        assert_eq!(pause_after(ms(60_000), 0.25), Some(LONGEST));
    }
}

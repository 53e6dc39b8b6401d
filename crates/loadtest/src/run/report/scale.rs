//! Axes: from values to places, and the ticks that a person would choose.

/// How values are laid out from the bottom to the top, and where the ticks are.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    log: bool,
    pub(super) ticks: Vec<f64>,
}

impl Scale {
    /// From 0 to `most` at least, about so many steps.
    pub(super) fn linear(most: f64, about: usize) -> Self {
        let ticks = ticks(most, about);
        Self { low: 0.0, high: ticks.last().copied().unwrap_or(1.0), log: false, ticks }
    }

    /// From 0 to exactly `most`: a share, a level.
    pub(super) fn fixed(most: f64, ticks: Vec<f64>) -> Self {
        Self { low: 0.0, high: most, log: false, ticks }
    }

    /// Logarithmic, over all these values; what is not above 0 has no place there.
    pub(super) fn log(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = values
            .filter(|value| *value > 0.0 && value.is_finite())
            .fold((f64::INFINITY, 0.0), |(low, high): (f64, f64), value| (low.min(value), high.max(value)));
        let (low, high) = if low <= high { (low, high) } else { (1.0, 10.0) };
        let low = steps_below(low);
        let mut ticks = vec![low];
        while ticks.last().is_some_and(|last| *last < high * (1.0 - 1e-9)) || ticks.len() < 3 {
            ticks.push(next(ticks[ticks.len() - 1]));
        }
        let high = ticks[ticks.len() - 1];
        // So many labels can be read above each other; else the decades, and the ends if they are far enough from them.
        if ticks.len() > 7 {
            let is_end = |tick: f64| (tick == low && leading(tick) == 2) || (tick == high && leading(tick) == 5);
            ticks.retain(|tick| leading(*tick) == 1 || is_end(*tick));
        }
        Self { low, high, log: true, ticks }
    }

    /// Where a value is: 0 at the bottom, 1 at the top; never outside.
    pub(super) fn place(&self, value: f64) -> f64 {
        let share = match self.log {
            true => (value.max(self.low) / self.low).ln() / (self.high / self.low).ln(),
            false => (value - self.low) / (self.high - self.low),
        };
        share.clamp(0.0, 1.0)
    }
}

/// Multiples of 1, 2 or 5 times a power of ten from 0 until `most` is reached, some `about` steps.
pub(super) fn ticks(most: f64, about: usize) -> Vec<f64> {
    let most = if most.is_finite() && most > 0.0 { most } else { 1.0 };
    let mut step = steps_below(most / about.max(1) as f64);
    while most / step > about as f64 + 1e-9 {
        step = next(step);
    }
    let last = (most / step - 1e-9).ceil() as usize;
    // Whole multiples, so that errors do not add up; rounded to the step's own digits.
    (0..=last).map(|index| rounded(index as f64 * step)).collect()
}

/// The largest of 1, 2, 5 times a power of ten that is not above.
fn steps_below(value: f64) -> f64 {
    let power = 10_f64.powf((value * (1.0 + 1e-9)).log10().floor());
    let times = [5.0, 2.0, 1.0].into_iter().find(|times| times * power <= value * (1.0 + 1e-9));
    rounded(times.unwrap_or(1.0) * power)
}

/// 1, 2, 5, 10, 20, …
fn next(step: f64) -> f64 {
    rounded(step * if leading(step) == 2 { 2.5 } else { 2.0 })
}

/// The first digit of a tick.
fn leading(tick: f64) -> u32 {
    let power = 10_f64.powf((tick * (1.0 + 1e-9)).log10().floor());
    (tick / power).round() as u32
}

/// Without the dust of binary fractions.
fn rounded(value: f64) -> f64 {
    format!("{value:.9e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_multiples_of_1_2_or_5_and_reach_the_top() {
        assert_eq!(ticks(71.0, 8), [0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0]);
        assert_eq!(ticks(0.3, 4), [0.0, 0.1, 0.2, 0.3]);
        assert_eq!(ticks(12_345.0, 4), [0.0, 5000.0, 10_000.0, 15_000.0]);
        assert_eq!(ticks(1.0, 4), [0.0, 0.5, 1.0]);
        assert_eq!(ticks(0.0, 4), ticks(1.0, 4));
        assert_eq!(ticks(f64::NAN, 4), ticks(1.0, 4));
    }

    #[test]
    fn a_log_axis_goes_by_1_2_5_and_by_decades_when_it_is_long() {
        let scale = Scale::log([3.0, 40.0].into_iter());
        assert_eq!(scale.ticks, [2.0, 5.0, 10.0, 20.0, 50.0]);
        assert_eq!((scale.place(2.0), scale.place(50.0), scale.place(10.0)), (0.0, 1.0, 0.5));
        assert_eq!(Scale::log([0.3, 4000.0].into_iter()).ticks, [0.2, 1.0, 10.0, 100.0, 1000.0, 5000.0]);
        assert_eq!(Scale::log([0.5, 2000.0].into_iter()).ticks, [1.0, 10.0, 100.0, 1000.0]);
        assert_eq!(Scale::log([7.0].into_iter()).ticks, [5.0, 10.0, 20.0]);
        assert_eq!(Scale::log(std::iter::empty()).ticks, [1.0, 2.0, 5.0, 10.0]);
    }

    #[test]
    fn nothing_is_drawn_outside_of_an_axis() {
        let scale = Scale::log([1.0, 100.0].into_iter());
        assert_eq!([0.0, -1.0, 1e9].map(|value| scale.place(value)), [0.0, 0.0, 1.0]);
    }
}

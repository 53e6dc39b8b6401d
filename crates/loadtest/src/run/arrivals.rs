//! When requests are due: a rate that changes over time, turned into moments. Nothing here waits or reads a clock.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};

/// A stretch of time in which the rate goes straight from one value to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Stretch {
    pub(crate) seconds: f64,
    /// Requests a second.
    pub(crate) from: f64,
    pub(crate) to: f64,
    /// The phase of the scenario that it belongs to.
    pub(crate) phase: u16,
}

/// How arrivals are spread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Spread {
    /// Independent of each other, as of many people.
    #[default]
    Poisson,
    /// As a clock ticks.
    Even,
}

/// An arrival: when it is due, from the start, and in which phase.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Arrival {
    pub(crate) due: Duration,
    pub(crate) phase: u16,
}

/// All arrivals of a schedule, in order.
///
/// Arrivals of rate 1 (a Poisson process, or every whole number) are put where the integral of the rate reaches them:
/// one way for constant rates, ramps and curves alike (time change of a Poisson process).
pub(crate) struct Arrivals {
    stretches: Vec<Stretch>,
    spread: Spread,
    rng: StdRng,
    /// The current stretch, where it begins, and what the integral is there.
    at: usize,
    begins_s: f64,
    done: f64,
    /// Where the next arrival of rate 1 is.
    next: f64,
}

impl Arrivals {
    pub(crate) fn new(stretches: Vec<Stretch>, spread: Spread, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let next = match spread {
            Spread::Even => 0.5,
            Spread::Poisson => exponential(&mut rng),
        };
        Self { stretches, spread, rng, at: 0, begins_s: 0.0, done: 0.0, next }
    }
}

impl Iterator for Arrivals {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        loop {
            let stretch = self.stretches.get(self.at)?;
            let inside = stretch.seconds * (stretch.from + stretch.to) / 2.0;
            if self.next >= self.done + inside {
                self.done += inside;
                self.begins_s += stretch.seconds;
                self.at += 1;
                continue;
            }
            let after = self.begins_s + stretch.reaches(self.next - self.done);
            self.next += match self.spread {
                Spread::Even => 1.0,
                Spread::Poisson => exponential(&mut self.rng),
            };
            return Some(Arrival { due: Duration::from_secs_f64(after), phase: stretch.phase });
        }
    }
}

impl Stretch {
    /// After how many seconds the integral of the rate is `area`: the root of (to − from)/(2·seconds)·t² + from·t = area,
    /// in the form that also holds for a constant rate.
    fn reaches(&self, area: f64) -> f64 {
        let slope = (self.to - self.from) / self.seconds;
        let root = (self.from * self.from + 2.0 * slope * area).max(0.0).sqrt();
        (2.0 * area / (self.from + root)).clamp(0.0, self.seconds)
    }
}

/// A time between two arrivals of a Poisson process of rate 1.
fn exponential(rng: &mut StdRng) -> f64 {
    -(1.0 - rng.random::<f64>()).ln()
}

/// The shape of a day's demand: how many of `seconds_of_day` fall into each of `parts` equal stretches, as a share of the
/// busiest, after smoothing over three neighbours (the trips are a sample).
pub(crate) fn day_curve(seconds_of_day: impl Iterator<Item = u32>, parts: usize) -> Vec<f64> {
    let mut counts = vec![0.0_f64; parts];
    for second in seconds_of_day {
        let part = second as usize * parts / 86_400;
        counts[part.min(parts - 1)] += 1.0;
    }
    let smooth: Vec<f64> = (0..parts)
        .map(|i| {
            let (before, after) = (counts[(i + parts - 1) % parts], counts[(i + 1) % parts]);
            (before + 2.0 * counts[i] + after) / 4.0
        })
        .collect();
    let most = smooth.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    smooth.into_iter().map(|count| count / most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretch(seconds: f64, from: f64, to: f64) -> Stretch {
        Stretch { seconds, from, to, phase: 0 }
    }

    fn between(arrivals: &[Arrival], from: f64, to: f64) -> usize {
        arrivals.iter().filter(|a| (from..to).contains(&a.due.as_secs_f64())).count()
    }

    #[test]
    fn even_arrivals_of_a_constant_rate_are_equally_far_apart() {
        let arrivals: Vec<_> = Arrivals::new(vec![stretch(2.0, 50.0, 50.0)], Spread::Even, 1).collect();
        assert_eq!(arrivals.len(), 100);
        for pair in arrivals.windows(2) {
            assert!(((pair[1].due - pair[0].due).as_secs_f64() - 0.02).abs() < 1e-6);
        }
    }

    #[test]
    fn a_poisson_process_has_the_mean_and_the_spread_of_one() {
        let arrivals: Vec<_> = Arrivals::new(vec![stretch(100.0, 1000.0, 1000.0)], Spread::Poisson, 7).collect();
        // 100,000 expected, standard deviation 316.
        assert!((98_000..102_000).contains(&arrivals.len()), "{}", arrivals.len());
        let gaps: Vec<f64> = arrivals.windows(2).map(|p| (p[1].due - p[0].due).as_secs_f64()).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        // Of an exponential distribution both are 1/rate.
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.02, "{mean} {variance}");
    }

    #[test]
    fn a_spike_is_ten_times_as_much_from_one_second_to_the_next() {
        let stages = vec![stretch(10.0, 100.0, 100.0), stretch(1.0, 100.0, 1000.0), stretch(10.0, 1000.0, 1000.0)];
        let arrivals: Vec<_> = Arrivals::new(stages, Spread::Even, 1).collect();
        assert!(arrivals.is_sorted_by_key(|a| a.due));
        assert_eq!(between(&arrivals, 0.0, 10.0), 1000);
        assert!((549..=551).contains(&between(&arrivals, 10.0, 11.0)));
        assert!((9_999..=10_001).contains(&between(&arrivals, 11.0, 21.0)));
    }

    #[test]
    fn a_ramp_from_nothing_grows_with_time() {
        let arrivals: Vec<_> = Arrivals::new(vec![stretch(10.0, 0.0, 200.0)], Spread::Even, 1).collect();
        assert_eq!(arrivals.len(), 1000);
        // A quarter of all in the first half.
        assert!((249..=251).contains(&between(&arrivals, 0.0, 5.0)), "{}", between(&arrivals, 0.0, 5.0));
    }

    #[test]
    fn a_pause_has_no_arrivals_and_what_follows_is_on_time() {
        let stages = vec![stretch(5.0, 0.0, 0.0), Stretch { phase: 1, ..stretch(1.0, 10.0, 10.0) }];
        let arrivals: Vec<_> = Arrivals::new(stages, Spread::Even, 1).collect();
        assert_eq!(arrivals.len(), 10);
        assert!(arrivals.iter().all(|a| a.phase == 1 && a.due >= Duration::from_secs(5)));
    }

    #[test]
    fn the_same_seed_gives_the_same_arrivals() {
        let all = |seed| Arrivals::new(vec![stretch(1.0, 100.0, 100.0)], Spread::Poisson, seed).collect::<Vec<_>>();
        assert_eq!(all(3), all(3));
        assert_ne!(all(3), all(4));
    }

    #[test]
    fn the_curve_of_a_day_has_its_peak_at_one_and_its_shape() {
        let evening = (0..3000).map(|n| 18 * 3600 + n % 3600);
        let night = (0..300).map(|n| 3 * 3600 + n % 3600);
        let curve = day_curve(evening.chain(night), 24);
        assert_eq!(curve.iter().copied().fold(0.0, f64::max), 1.0);
        assert!((curve[3] - 0.1).abs() < 0.01 && curve[18] == 1.0 && curve[12] == 0.0, "{curve:?}");
    }
}

//! The named figures: what checks are about.

use super::{
    outcome::{Calibration, Counts, Figure, Outcome, PhaseRow},
    scenario::Role,
};

/// A figure that there is.
pub(crate) struct Known {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) about: &'static str,
}

const fn known(name: &'static str, unit: &'static str, about: &'static str) -> Known {
    Known { name, unit, about }
}

/// All of them. "At the peak" is the phase with that role; in a scenario without one, the whole run.
pub(crate) const ALL: &[Known] = &[
    known("offered", "1/s", "requests offered at the peak"),
    known("goodput", "1/s", "requests answered in time and as the contract has it, at the peak"),
    known("peak_goodput", "1/s", "the capacity: the same in a closed loop, with the mix that the peak accepted"),
    known("goodput_of_peak", "share", "goodput as a share of the capacity"),
    known(
        "bound",
        "share",
        "what the cost of refusals leaves of the capacity: (1 - k r/a) / (1 - r/a), k times the capacity offered",
    ),
    known("goodput_of_bound", "share", "goodput as a share of what the bound leaves of the capacity"),
    known("cpu_accepted_us", "us", "a: the server's CPU for a request that succeeds, at capacity"),
    known(
        "cpu_refused_us",
        "us",
        "r: the server's CPU for a 429 of an address, at most: measured after the run, with nothing else going on",
    ),
    known("success", "share", "requests that succeeded, whole run"),
    known("success_p0", "share", "requests of priority 0 that succeeded, at the peak"),
    known("success_rest", "share", "requests of all but the hot key that succeeded"),
    known("refused", "share", "requests refused (429, 503), whole run"),
    known("p50_ms", "ms", "latency of requests that succeeded, median, whole run"),
    known("p99_ms", "ms", "latency of requests that succeeded, 99th percentile, whole run"),
    known("p99_p0_ms", "ms", "latency of priority 0 that succeeded, 99th percentile, at the peak"),
    known("p99_p0_ratio", "", "p99 of priority 0 at the peak, as a multiple of the same while unloaded"),
    known(
        "recovery_s",
        "s",
        "after the peak, until a whole second has the baseline's success and twice its p99 at most",
    ),
    known("jain", "", "Jain's index of the success of all keys but the hot one; 1 is equal"),
    known("retry_peak_to_mean", "", "busiest bin of the retries against the mean bin"),
    known("storm_served", "share", "clients of a storm that were served in the end"),
    known("over_admission", "share", "most that was admitted above burst + rate t, of any policy and key"),
    known("server_5xx", "", "answers of 500 and above, other than a refusal for reduced capacity"),
    known("errors", "", "answers that the contract does not have there, and failed connections"),
    known("timeouts", "", "requests without an answer within the deadline"),
    known("not_sent", "", "arrivals while as many requests were under way as the generator may have"),
    known("rss_mb", "MB", "the server's resident memory, most"),
    known("server_cores", "", "cores that the server used at the peak, mean"),
    known("lag_p99_ms", "ms", "lateness of the generator, 99th percentile"),
    known("redrawn", "share", "arrivals whose drawn kind nobody could send"),
    known("spray_sent", "share", "keys sent, of those asked for"),
    known("spray_keys_per_s", "1/s", "keys sent a second"),
    known("spray_bytes_a_key", "B", "growth of the server's memory for each key sent"),
];

/// What is not in the outcome's tables.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Measured {
    pub(crate) recovery_s: Option<f64>,
    /// The server's CPU for a request that succeeds, microseconds, where no calibration measured it.
    pub(crate) accepted_us: Option<f64>,
    pub(crate) rss_mb: Option<f64>,
}

/// Every figure of a run whose tables are filled.
pub(crate) fn all(outcome: &Outcome, measured: &Measured) -> Vec<Figure> {
    let figure = |known: &Known| Figure {
        name: known.name.to_owned(),
        value: value(known.name, outcome, measured).filter(|value| value.is_finite()),
        unit: known.unit.to_owned(),
        about: known.about.to_owned(),
    };
    ALL.iter().map(figure).collect()
}

fn value(name: &str, run: &Outcome, measured: &Measured) -> Option<f64> {
    let totals = &run.totals;
    let (peak, unloaded) = (with_role(run, Role::Peak), with_role(run, Role::Unloaded));
    let focus = peak.map_or(totals, |phase| &phase.counts);
    let seconds = peak.map_or_else(|| run.series.len() as f64, |phase| phase.to_s - phase.from_s);
    let goodput = || Some(focus.ok as f64 / positive(seconds)?);
    let capacity = || own_peak(run).map(|found| found.goodput);
    let p99_p0 = |phase: &PhaseRow| phase.priorities.first()?.latency.p99;
    match name {
        "offered" => Some(focus.offered as f64 / positive(seconds)?),
        "goodput" => goodput(),
        "peak_goodput" => capacity(),
        "goodput_of_peak" => Some(goodput()? / capacity()?),
        "bound" => cost_bound(run, measured),
        "goodput_of_bound" => Some(goodput()? / capacity()? / positive(cost_bound(run, measured)?)?),
        "cpu_accepted_us" => accepted_us(run, measured),
        "cpu_refused_us" => refused_us(run),
        "success" => totals.success(),
        "success_p0" => match peak {
            Some(peak) => peak.priorities.first()?.counts.success(),
            None => run.priorities.first()?.counts.success(),
        },
        "success_rest" => run.fairness.as_ref()?.rest.success(),
        "refused" => Some(totals.refused() as f64 / positive(totals.offered as f64)?),
        "p50_ms" => run.latency.p50,
        "p99_ms" => run.latency.p99,
        "p99_p0_ms" => peak.map_or_else(|| run.priorities.first()?.latency.p99, p99_p0),
        "p99_p0_ratio" => Some(p99_p0(peak?)? / positive(p99_p0(unloaded?)?)?),
        "recovery_s" => measured.recovery_s,
        "jain" => run.fairness.as_ref()?.jain,
        "retry_peak_to_mean" => run.retries.as_ref()?.peak_to_mean,
        "storm_served" => run.retries.as_ref().map(|wave| wave.served as f64 / wave.clients.max(1) as f64),
        "over_admission" => run.policies.iter().map(|policy| policy.over).reduce(f64::max),
        "server_5xx" => Some(totals.server_5xx as f64),
        "errors" => Some((totals.unexpected + totals.connection) as f64),
        "timeouts" => Some(totals.timeouts as f64),
        "not_sent" => Some(totals.not_sent as f64),
        "rss_mb" => measured.rss_mb,
        "server_cores" => match peak {
            Some(peak) => peak.server_cores,
            None => mean(run.series.iter().filter_map(|second| second.server.as_ref()?.cores)),
        },
        "lag_p99_ms" => run.validity.lag.p99,
        "redrawn" => Some(run.validity.redrawn as f64 / positive(totals.offered as f64)?),
        "spray_sent" => run.spray.as_ref().map(|spray| spray.keys_sent as f64 / spray.keys_asked.max(1) as f64),
        "spray_keys_per_s" => run.spray.as_ref().map(|spray| spray.keys_sent as f64 / spray.seconds.max(0.001)),
        "spray_bytes_a_key" => run.spray.as_ref()?.bytes_a_key,
        _ => None,
    }
}

fn with_role(run: &Outcome, role: Role) -> Option<&PhaseRow> {
    let name = role.name();
    run.phases.iter().find(|phase| phase.role == name)
}

/// The capacity with the mix that was accepted at the peak, or else with the scenario's.
fn own_peak(run: &Outcome) -> Option<&Calibration> {
    run.calibration_after.as_ref().or(run.calibration.as_ref())
}

/// a, microseconds.
fn accepted_us(run: &Outcome, measured: &Measured) -> Option<f64> {
    own_peak(run).and_then(|found| found.cpu_us).or(measured.accepted_us)
}

/// r, microseconds. What the peak's CPU leaves after a for each accepted request is no measure of it: a server that waits
/// for its disk at capacity has CPU left over, and that would count as the refusals'.
fn refused_us(run: &Outcome) -> Option<f64> {
    run.refusals.as_ref()?.cpu_us
}

fn cost_bound(run: &Outcome, measured: &Measured) -> Option<f64> {
    let peak = with_role(run, Role::Peak)?;
    let times = peak.counts.offered as f64 / positive(peak.to_s - peak.from_s)? / own_peak(run)?.goodput;
    bound(accepted_us(run, measured)?, refused_us(run)?, times)
}

/// The share of its capacity that a server keeps when `times` as much is offered, each request that succeeds costs `a` and
/// each refusal `r`: a·g + r·(k·p − g) = a·p, solved for g/p. None when refusals alone cost more than there is.
pub(crate) fn bound(a: f64, r: f64, times: f64) -> Option<f64> {
    let share = Some(r / positive(a)?).filter(|share| *share < 1.0)?;
    positive((1.0 - times.max(1.0) * share) / (1.0 - share))
}

/// Jain's index of fairness: (Σx)² / (n · Σx²); 1 when all are equal, 1/n when one has everything.
///
/// Jain, Chiu, Hawe: A Quantitative Measure of Fairness and Discrimination for Resource Allocation in Shared Computer
/// Systems, 1984.
pub(crate) fn jain(shares: &[f64]) -> Option<f64> {
    let (sum, squares) = shares.iter().fold((0.0, 0.0), |(sum, squares), x| (sum + x, squares + x * x));
    positive(squares).map(|squares| sum * sum / (shares.len() as f64 * squares))
}

/// The busiest, the mean and their ratio, of the bins from the first to the last with so many arrivals.
pub(crate) fn wave(bins: &[u64], judged_from: u64) -> Option<(f64, f64, f64)> {
    let is_judged = |count: &u64| *count >= judged_from;
    let (first, last) = (bins.iter().position(is_judged)?, bins.iter().rposition(is_judged)?);
    let judged = &bins[first..=last];
    let peak = *judged.iter().max()? as f64;
    let mean = judged.iter().sum::<u64>() as f64 / judged.len() as f64;
    Some((peak, mean, peak / positive(mean)?))
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (count, sum) = values.fold((0_u32, 0.0), |(count, sum), value| (count + 1, sum + value));
    (count > 0).then(|| sum / f64::from(count))
}

fn positive(value: f64) -> Option<f64> {
    (value > 0.0).then_some(value)
}

impl Role {
    /// As the scenario's file writes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Unloaded => "unloaded",
            Self::Baseline => "baseline",
            Self::Peak => "peak",
            Self::Recovery => "recovery",
        }
    }
}

/// Jain's index of how well each of these did, and the lowest, median and highest share. Success is compared, not the
/// number of requests: that differs by chance.
pub(crate) fn fairness(people: &[Counts]) -> (Option<f64>, Option<(f64, f64, f64)>) {
    let mut ratios: Vec<f64> = people.iter().filter_map(Counts::success).collect();
    ratios.sort_by(f64::total_cmp);
    let span = ratios.first().zip(ratios.get(ratios.len() / 2)).zip(ratios.last());
    (jain(&ratios), span.map(|((least, median), most)| (*least, *median, *most)))
}

#[cfg(test)]
mod tests {
    use super::{super::outcome::Refusals, *};

    #[test]
    fn the_bound_is_what_refusals_leave() {
        // Refusals for nothing cost nothing.
        assert_eq!(bound(100.0, 0.0, 10.0), Some(1.0));
        // a = 100, r = 5, ten times: g·100 + (10p − g)·5 = 100p, so g = 50/95 p.
        assert!((bound(100.0, 5.0, 10.0).unwrap() - 50.0 / 95.0).abs() < 1e-12);
        assert_eq!(bound(100.0, 10.0, 10.0), None, "refusing takes everything");
        assert_eq!(bound(100.0, 200.0, 10.0), None, "a refusal that costs more than what it saves leaves nothing");
        assert_eq!(bound(100.0, 5.0, 0.5), Some(1.0), "less than the capacity is offered");
    }

    /// A peak of ten times the capacity of 1000/s for a second, of which 900 succeeded; a = 1000 µs.
    fn at_its_peak(refusals: Option<Refusals>) -> Outcome {
        let counts = Counts { offered: 10_000, ok: 900, refused_429: 9100, ..Counts::default() };
        let peak = PhaseRow { role: "peak".into(), to_s: 1.0, counts, ..PhaseRow::default() };
        let capacity = Calibration { goodput: 1000.0, cpu_us: Some(1000.0), ..Calibration::default() };
        Outcome { phases: vec![peak], calibration: Some(capacity), refusals, ..Outcome::default() }
    }

    #[test]
    fn goodput_is_held_against_what_measured_refusals_leave() {
        let found = Refusals { requests: 100, refused: 99, cpu_us: Some(10.0) };
        let run = at_its_peak(Some(found));
        let figure = |name| value(name, &run, &Measured::default()).unwrap();
        assert_eq!(figure("cpu_refused_us"), 10.0);
        assert!((figure("bound") - 0.9 / 0.99).abs() < 1e-12);
        assert!((figure("goodput_of_bound") - 0.99).abs() < 1e-12);
    }

    #[test]
    fn without_a_measured_refusal_there_is_no_bound_but_the_share_of_the_capacity() {
        for refusals in [None, Some(Refusals { requests: 100, refused: 89, cpu_us: None })] {
            let run = at_its_peak(refusals);
            let figure = |name| value(name, &run, &Measured::default());
            assert_eq!(["cpu_refused_us", "bound", "goodput_of_bound"].map(figure), [None; 3]);
            assert_eq!(figure("goodput_of_peak"), Some(0.9));
        }
    }

    #[test]
    fn jain_is_one_for_equals_and_a_share_for_a_monopoly() {
        assert_eq!(jain(&[0.5; 10]), Some(1.0));
        assert!((jain(&[1.0, 0.0, 0.0, 0.0]).unwrap() - 0.25).abs() < 1e-12);
        assert_eq!(jain(&[]), None);
        assert_eq!(jain(&[0.0]), None);
    }

    #[test]
    fn fairness_compares_success_and_not_how_many_each_sent() {
        let of = |offered, ok| Counts { offered, ok, ..Counts::default() };
        let (index, span) = fairness(&[of(10, 5), of(1000, 500), of(30, 15), of(0, 0)]);
        assert_eq!((index, span), (Some(1.0), Some((0.5, 0.5, 0.5))));
    }

    #[test]
    fn a_wave_is_judged_from_its_first_to_its_last_full_bin_with_the_gaps_between() {
        let (peak, mean, ratio) = wave(&[5, 2000, 0, 1000, 10], 1000).unwrap();
        assert_eq!((peak, mean, ratio), (2000.0, 1000.0, 2.0));
        assert_eq!(wave(&[10, 20], 1000), None);
    }

    #[test]
    fn every_figure_has_a_name_of_its_own_and_is_known_to_the_arithmetic() {
        let names: std::collections::BTreeSet<_> = ALL.iter().map(|known| known.name).collect();
        assert_eq!(names.len(), ALL.len());
        let run = Outcome::default();
        assert_eq!(all(&run, &Measured::default()).len(), ALL.len());
    }
}

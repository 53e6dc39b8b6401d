//! The table of `cargo xtask bench traffic`: every figure beside its peer's, its goal and its bar.

use serde::Serialize;

use crate::report::{Line, Report, Spread};

/// What `cargo xtask bench traffic` measured.
pub(crate) type Table = Report<Row>;

/// One figure.
#[derive(Serialize)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) what: String,
    /// The figure with its spread, in words.
    pub(crate) figure: String,
    /// What it is compared with, in words.
    pub(crate) against: String,
    /// What is judged.
    pub(crate) value: f64,
    /// What it is held to.
    pub(crate) hold: Hold,
}

/// A goal, where we are going, and a bar, which must hold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Hold {
    wanted: Wanted,
    goal: f64,
    bar: f64,
    unit: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Wanted {
    Less,
    More,
}

/// How a figure stands to its goal and its bar.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) enum Verdict {
    /// The goal is met.
    Ok,
    /// The bar is.
    WithinTheBar,
    /// Neither; by how much the bar is missed, in words.
    Short(String),
}

impl Hold {
    /// No more than this is wanted.
    pub(crate) const fn at_most(goal: f64, bar: f64, unit: &'static str) -> Self {
        Self { wanted: Wanted::Less, goal, bar, unit }
    }

    /// No less than this is wanted.
    pub(crate) const fn at_least(goal: f64, bar: f64, unit: &'static str) -> Self {
        Self { wanted: Wanted::More, goal, bar, unit }
    }

    /// What stands behind the figure.
    pub(crate) fn unit(self) -> &'static str {
        self.unit
    }

    fn text(self, bound: f64) -> String {
        let sign = if self.wanted == Wanted::Less { '≤' } else { '≥' };
        format!("{sign} {bound}{}", self.unit)
    }

    /// How `value` stands. What is no number meets nothing.
    pub(crate) fn verdict(self, value: f64) -> Verdict {
        let meets = |bound: f64| match self.wanted {
            Wanted::Less => value <= bound,
            Wanted::More => value >= bound,
        };
        if meets(self.goal) {
            return Verdict::Ok;
        }
        if meets(self.bar) {
            return Verdict::WithinTheBar;
        }
        if self.bar == 0.0 {
            // There is no share of nothing.
            return Verdict::Short(format!("short by {value:.0}"));
        }
        let percent = (value / self.bar - 1.0).abs() * 100.0;
        // Whoever is just outside must not read `0 %`.
        let decimals = if percent < 1.0 { 2 } else { 0 };
        Verdict::Short(format!("short by {percent:.decimals$} %"))
    }
}

impl Verdict {
    fn text(&self) -> &str {
        match self {
            Self::Ok => "ok",
            Self::WithinTheBar => "within the bar",
            Self::Short(by_how_much) => by_how_much,
        }
    }
}

impl Row {
    /// What one side used against the other, round by round: the middle ratio is judged.
    pub(crate) fn ratio(what: &str, hold: Hold, unit: &str, own: Vec<f64>, peer_is: &str, peer: Vec<f64>) -> Self {
        let ratio = Spread::of(own.iter().zip(&peer).map(|(own, peer)| own / peer).collect());
        Self {
            what: what.to_owned(),
            figure: format!("{}×; {} {unit}", ratio.text(2), Spread::of(own).text(2)),
            against: format!("{peer_is}: {} {unit}", Spread::of(peer).text(2)),
            value: ratio.median,
            hold,
        }
    }

    /// How many times as long the peer takes: the middle of the rounds is judged.
    pub(crate) fn times_as_fast(
        what: &str,
        hold: Hold,
        unit: &str,
        own: &[f64],
        peer_is: &str,
        peer: Vec<f64>,
    ) -> Self {
        let times = Spread::of(own.iter().zip(&peer).map(|(own, peer)| peer / own).collect());
        Self {
            what: what.to_owned(),
            figure: format!("{}{}", times.text(1), hold.unit),
            against: format!("{peer_is}: {} {unit}", Spread::of(peer).text(0)),
            value: times.median,
            hold,
        }
    }

    fn verdict(&self) -> Verdict {
        self.hold.verdict(self.value)
    }
}

impl Line for Row {
    const HEAD: &'static str = "| what | goal | bar | figure | against | |\n|---|---|---|---|---|---|";

    fn line(&self, quick: bool) -> String {
        let verdict = self.verdict();
        let verdict = if quick { "" } else { verdict.text() };
        let (goal, bar) = (self.hold.text(self.hold.goal), self.hold.text(self.hold.bar));
        format!("| {} | {goal} | {bar} | {} | {} | {verdict} |", self.what, self.figure, self.against)
    }

    fn holds(&self) -> bool {
        !matches!(self.verdict(), Verdict::Short(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_ok_a_bar_is_a_bar_and_the_rest_is_short() {
        let cost = Hold::at_most(1.0, 1.25, "×");
        assert_eq!(cost.verdict(1.0), Verdict::Ok);
        assert_eq!(cost.verdict(1.25), Verdict::WithinTheBar);
        assert_eq!(cost.verdict(1.5), Verdict::Short("short by 20 %".to_owned()));
        let success = Hold::at_least(99.9, 99.5, " %");
        assert_eq!(success.verdict(99.95), Verdict::Ok);
        assert_eq!(success.verdict(99.5), Verdict::WithinTheBar);
        assert_eq!(success.verdict(99.4), Verdict::Short("short by 0.10 %".to_owned()));
    }

    #[test]
    fn nothing_is_a_bound_too_and_what_is_no_number_meets_none() {
        let exact = Hold::at_most(0.0, 0.0, "");
        assert_eq!(exact.verdict(0.0), Verdict::Ok);
        assert_eq!(exact.verdict(3.0), Verdict::Short("short by 3".to_owned()));
        assert!(matches!(Hold::at_least(1.0, 1.0, "").verdict(f64::NAN), Verdict::Short(_)));
    }

    #[test]
    fn the_middle_of_the_rounds_ratios_is_judged() {
        let hold = Hold::at_most(1.1, 1.3, "×");
        let row = Row::ratio("a request", hold, "µs", vec![12.0, 24.0, 11.0], "bare", vec![10.0, 10.0, 10.0]);
        assert_eq!(row.value, 1.2);
        let line = "| a request | ≤ 1.1× | ≤ 1.3× | 1.20 (1.10 … 2.40)×; 12.00 (11.00 … 24.00) µs | \
                    bare: 10.00 (10.00 … 10.00) µs | within the bar |";
        assert_eq!(row.line(false), line);
        assert!(row.line(true).ends_with("|  |"), "a quick run judges nothing");
    }
}

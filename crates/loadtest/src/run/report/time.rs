//! The time axis that all charts of a page share, and the phases on it.

use std::fmt::Write;

use super::{
    super::outcome::{Outcome, PhaseRow, Second},
    text::esc,
};

/// An SVG's width in its own units, whatever its width on the page.
pub(super) const WIDE: f64 = 1000.0;

/// What all charts of a page share: the time axis.
pub(super) struct Time {
    pub(super) to_s: f64,
    /// Beginnings of the columns, and how long each is, seconds.
    pub(super) columns: Vec<f64>,
    pub(super) column_s: f64,
    pub(super) phases: Vec<Phase>,
}

/// A stretch with a name.
pub(super) struct Phase {
    pub(super) name: String,
    pub(super) from_s: f64,
    pub(super) to_s: f64,
    pub(super) is_peak: bool,
}

impl Time {
    /// The run's, with its phases.
    pub(super) fn of(run: &Outcome, seconds: &[Second]) -> Self {
        let phase = |phase: &PhaseRow| Phase {
            name: phase.name.clone(),
            from_s: phase.from_s,
            to_s: phase.to_s,
            is_peak: phase.role == "peak",
        };
        let end = seconds.last().map_or(1.0, |second| second.at_s + 1.0);
        let planned = run.phases.iter().map(|phase| phase.to_s).fold(0.0, f64::max);
        // The last second may be a part of one only.
        let to_s = if planned > 0.0 && end - planned < 1.0 { planned } else { end.max(planned) };
        Self {
            to_s,
            columns: seconds.iter().map(|second| second.at_s).collect(),
            column_s: 1.0,
            phases: run.phases.iter().map(phase).collect(),
        }
    }

    /// The phases' names above a plot. One that is too short for its name has it before its end, if the phase before
    /// leaves room; the last one may go on behind its end. 7 px a letter; the plot is some 300 px wide on a telephone, 800 and more on a screen.
    pub(super) fn names(&self) -> String {
        let mut out = String::new();
        let mut room = 0.0;
        for (index, phase) in self.phases.iter().enumerate() {
            let is_last = index + 1 == self.phases.len();
            let (left, right) = (self.percent(phase.from_s), self.percent(phase.to_s));
            let (width, needs) = (right - left, phase.name.chars().count() as f64 * 7.0 + 6.0);
            let (class, style) = match () {
                () if needs <= width * 3.0 => ("", format!("left:{left:.2}%;width:{width:.2}%")),
                () if is_last && needs <= (100.0 - left) * 3.0 => ("", format!("left:{left:.2}%")),
                () if needs <= width * 8.0 => ("wide", format!("left:{left:.2}%;width:{width:.2}%")),
                () if needs <= (room + width) * 8.0 => ("wide", format!("right:{:.2}%", 100.0 - right)),
                () => continue,
            };
            room = width - needs / 8.0;
            let _ = write!(out, "<span class=\"{class}\" style=\"{style}\">{}</span>", esc(&phase.name));
        }
        out
    }

    /// Where a moment is in an SVG.
    pub(super) fn x(&self, at_s: f64) -> f64 {
        (at_s / self.to_s).clamp(0.0, 1.0) * WIDE
    }

    pub(super) fn percent(&self, at_s: f64) -> f64 {
        self.x(at_s) / WIDE * 100.0
    }
}

/// Without those after the schedule's end in which nothing was offered: the run waited for its last answers.
pub(super) fn recorded(run: &Outcome) -> &[Second] {
    let end = run.phases.iter().map(|phase| phase.to_s).fold(0.0, f64::max);
    let is_of_the_load = |second: &Second| second.counts.offered > 0 || second.at_s < end || run.spray.is_some();
    let last = run.series.iter().rposition(is_of_the_load).map_or(0, |index| index + 1);
    &run.series[..last]
}

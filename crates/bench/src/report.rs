//! The table at the end, and the same as JSON.

use std::{fs, path::Path};

use serde::Serialize;

use crate::setting::Setting;

/// Everything that was measured, and where.
#[derive(Serialize)]
pub(crate) struct Report<R> {
    quick: bool,
    #[serde(flatten)]
    setting: Setting,
    rows: Vec<R>,
    notes: Vec<String>,
}

/// A figure with what it is held to, as a line of the table.
pub(crate) trait Line: Serialize {
    /// The head of the table that such lines make.
    const HEAD: &'static str;

    /// The line; a quick run judges nothing.
    fn line(&self, quick: bool) -> String;

    /// Whether the figure is good enough to call it done.
    fn holds(&self) -> bool;
}

/// A figure with one bound.
#[derive(Serialize)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) what: String,
    /// The goal in words; empty where there is none.
    pub(crate) goal: String,
    /// The figure with its spread, in words.
    pub(crate) figure: String,
    /// The peer's, where there is one.
    pub(crate) peer: String,
    /// What is judged, and the bound that it must not pass.
    pub(crate) judged: Option<(f64, f64)>,
}

impl Row {
    fn verdict(&self) -> String {
        match self.judged {
            None => String::new(),
            Some((value, bound)) if value <= bound => "ok".to_owned(),
            Some((value, bound)) => format!("short by {:.0} %", (value / bound - 1.0) * 100.0),
        }
    }
}

impl Line for Row {
    const HEAD: &'static str = "| what | goal | figure | peer | |\n|---|---|---|---|---|";

    fn line(&self, quick: bool) -> String {
        let verdict = if quick { String::new() } else { self.verdict() };
        format!("| {} | {} | {} | {} | {verdict} |", self.what, self.goal, self.figure, self.peer)
    }

    fn holds(&self) -> bool {
        self.judged.is_none_or(|(value, bound)| value <= bound)
    }
}

impl<R: Line> Report<R> {
    /// An empty report that describes this run.
    pub(crate) fn new(quick: bool, setting: Setting) -> Self {
        Self { quick, setting, rows: Vec::new(), notes: Vec::new() }
    }

    /// Adds a figure, and shows it at once: a whole run takes a while.
    pub(crate) fn add(&mut self, row: R) {
        eprintln!("bench: {}", row.line(self.quick));
        self.rows.push(row);
    }

    /// Adds what a reader must know beside the figures.
    pub(crate) fn note(&mut self, note: String) {
        eprintln!("bench: {note}");
        self.notes.push(note);
    }

    /// Whether every figure is good enough.
    pub(crate) fn holds(&self) -> bool {
        self.rows.iter().all(Line::holds)
    }

    /// The table, as it stands in `docs/benchmarks.md`.
    #[allow(clippy::print_stdout, reason = "the table is what this program is run for")]
    pub(crate) fn print(&self) {
        println!("\n{}\n", self.setting.text(self.quick));
        println!("{}", R::HEAD);
        self.rows.iter().for_each(|row| println!("{}", row.line(self.quick)));
        println!();
        self.notes.iter().for_each(|note| println!("- {note}"));
    }

    /// Writes it as JSON.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn write(&self, file: &Path) -> Result<(), String> {
        let text = serde_json::to_string_pretty(self).map_err(|e| e.to_string())?;
        fs::write(file, text + "\n").map_err(|e| format!("{}: {e}", file.display()))
    }
}

/// The middle of some figures, and how far they lie apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    /// Of at least one figure.
    pub(crate) fn of(mut figures: Vec<f64>) -> Self {
        figures.sort_by(f64::total_cmp);
        let at = |place: usize| figures.get(place).copied().unwrap_or(f64::NAN);
        let (half, last) = (figures.len() / 2, figures.len().saturating_sub(1));
        let median =
            if figures.len() % 2 == 1 { at(half) } else { f64::midpoint(at(half.saturating_sub(1)), at(half)) };
        Self { median, least: at(0), most: at(last) }
    }

    /// `1.52 (1.49 … 1.60)` with so many decimals.
    pub(crate) fn text(&self, decimals: usize) -> String {
        format!("{:.decimals$} ({:.decimals$} … {:.decimals$})", self.median, self.least, self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_of_odd_and_even_numbers() {
        assert_eq!(Spread::of(vec![3.0, 1.0, 2.0]), Spread { median: 2.0, least: 1.0, most: 3.0 });
        assert_eq!(Spread::of(vec![4.0, 1.0, 2.0, 3.0]).median, 2.5);
        assert_eq!(Spread::of(vec![4.0, 1.0]).text(1), "2.5 (1.0 … 4.0)");
    }

    #[test]
    fn a_missed_goal_says_by_how_much() {
        let row = |value| Row {
            what: String::new(),
            goal: String::new(),
            figure: String::new(),
            peer: String::new(),
            judged: Some((value, 2.0)),
        };
        assert_eq!((row(2.0).verdict().as_str(), row(2.5).verdict().as_str()), ("ok", "short by 25 %"));
    }
}

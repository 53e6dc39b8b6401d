//! The report for people: one HTML file that needs nothing else, neither network nor scripts.
//!
//! The most important first: what was run and whether it held, the figures that matter, pictures over time, the tables
//! behind them, how to run it again.

mod chart;
mod head;
mod plots;
mod refusals;
mod scale;
mod settings;
mod tables;
mod text;
mod time;
mod wave;

use super::outcome::Outcome;

const STYLE: &str = include_str!("report/style.css");
/// The page may load nothing and run nothing, whatever is in it.
const ONLY_STYLE: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// The whole page.
pub(crate) fn html(outcome: &Outcome) -> String {
    let control = if outcome.scenario.control { ", shedding off" } else { "" };
    let name = text::esc(&outcome.scenario.name);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<meta http-equiv=\"Content-Security-Policy\" content=\"{ONLY_STYLE}\">\n<title>{name}{control}: load report</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{}{}<section><h2 id=\"plots\">Over time</h2>\n{}</section>\n{}{}</body>\n</html>\n",
        head::html(outcome),
        wave::html(outcome),
        plots::html(outcome),
        tables::html(outcome),
        settings::html(outcome)
    )
}

#[cfg(test)]
#[path = "report_test.rs"]
mod tests;

//! The report for people: one HTML file that needs nothing else.

use super::outcome::Outcome;

/// The whole page.
pub(crate) fn html(outcome: &Outcome) -> String {
    let figures = outcome.figures.iter().filter_map(|figure| Some((figure, figure.value?)));
    let rows: String = figures
        .map(|(figure, value)| {
            format!("<tr><td>{}</td><td>{value:.3} {}</td><td>{}</td></tr>\n", figure.name, figure.unit, figure.about)
        })
        .collect();
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{name}</title><h1>{name}</h1>\n<table>\n{rows}</table></html>\n",
        name = outcome.scenario.name
    )
}

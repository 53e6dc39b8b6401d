//! Refused clients that come back: the wave, and what they were told.

use super::{
    super::outcome::{Outcome, RetryWave},
    chart::{Chart, Draw, Line},
    scale::Scale,
    text::{count, number, percent, share_of},
    time::Time,
};

/// Nothing for a scenario without retries.
pub(super) fn html(run: &Outcome) -> String {
    let Some(wave) = &run.retries else { return String::new() };
    let ratio = wave.peak_to_mean.map_or_else(
        || "No two bins had enough arrivals to be judged.".to_owned(),
        |ratio| format!("The busiest bin has <b>{} times</b> the mean.", number(ratio)),
    );
    format!(
        "<section><h2 id=\"wave\">The wave of retries</h2>\n<p>{} of {} clients were served in the end ({}); {} of them wait as long as <code>Retry-After</code> says. {ratio}</p>\n{}{}</section>\n",
        count(wave.served),
        count(wave.clients),
        share_of(wave.served, wave.clients),
        percent(wave.obeying),
        bins(wave),
        told(wave)
    )
}

fn bins(wave: &RetryWave) -> String {
    let values: Vec<_> = wave.bins.iter().map(|retries| Some(*retries as f64)).collect();
    let most = values.iter().flatten().copied().fold(0.0, f64::max);
    let column = |index: usize| wave.from_s + index as f64 * wave.bin_s;
    let time = Time {
        to_s: column(values.len()).max(wave.bin_s),
        columns: (0..values.len()).map(column).collect(),
        column_s: wave.bin_s,
        phases: Vec::new(),
    };
    let about =
        format!("in bins of {} s; judged are those from {} retries", number(wave.bin_s), count(wave.judged_from));
    histogram(("Retries", "retries"), about, values, most, wave.mean, &time)
}

fn told(wave: &RetryWave) -> String {
    let Some(longest) = wave.told.keys().last() else { return String::new() };
    // Far beyond that only few are told anything; the axis stays readable.
    let longest = (*longest).min(600);
    let values: Vec<_> =
        (0..=longest).map(|second| Some(wave.told.get(&second).copied().unwrap_or(0) as f64)).collect();
    let most = values.iter().flatten().copied().fold(0.0, f64::max);
    let time = Time {
        to_s: longest as f64 + 0.5,
        // Around its value each.
        columns: (0..=longest).map(|second| second as f64 - 0.5).collect(),
        column_s: 1.0,
        phases: Vec::new(),
    };
    histogram(("Retry-After", "refusals"), "how often each value was given".into(), values, most, None, &time)
}

fn histogram(
    (title, name): (&str, &str),
    about: String,
    values: Vec<Option<f64>>,
    most: f64,
    mean: Option<f64>,
    time: &Time,
) -> String {
    let chart = Chart {
        title: title.into(),
        about,
        height: 140.0,
        scale: Scale::linear(most, 4),
        shown: number,
        lines: vec![Line { name: name.into(), colour: "blue", draw: Draw::Bars, values }],
        marks: mean.map(|mean| ("mean of the judged".to_owned(), "vermillion", mean)).into_iter().collect(),
    };
    if chart.has_data() { chart.html(time) } else { "<p class=\"quiet\">Nobody came back.</p>".to_owned() }
}

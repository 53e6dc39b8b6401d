//! Which charts a run has. All share the time axis and its phases.

use std::fmt::Write;

use super::{
    super::outcome::{Outcome, Percentiles, Second, ServerSecond},
    chart::{Chart, Draw, Line},
    scale::Scale,
    text::{number, percent},
    time::{Time, recorded},
};

const PRIORITIES: [(&str, &str); 5] = [
    ("0 rides under way", "ink"),
    ("1 requesting a ride", "blue"),
    ("2 sign-in, quotes", "green"),
    ("3 history, profile", "orange"),
    ("4 catalogue", "purple"),
];
/// Heights in pixels.
const TALL: f64 = 190.0;
const MIDDLE: f64 = 140.0;
const LOW: f64 = 92.0;

/// All charts that have anything to show, and the names of those that have not.
pub(super) fn html(run: &Outcome) -> String {
    let seconds = recorded(run);
    if seconds.is_empty() {
        return "<p>Nothing was recorded over time.</p>".to_owned();
    }
    let time = Time::of(run, seconds);
    let (shown, empty): (Vec<_>, Vec<_>) = charts(run, seconds).into_iter().partition(Chart::has_data);
    let mut out: String = shown.iter().map(|chart| chart.html(&time)).collect();
    if !empty.is_empty() {
        let names: Vec<_> = empty.iter().map(|chart| chart.title.to_lowercase()).collect();
        let _ = write!(out, "<p class=\"quiet\">Not measured in this run: {}.</p>", names.join("; "));
    }
    out
}

fn charts(run: &Outcome, seconds: &[Second]) -> Vec<Chart> {
    let mut charts = vec![requests(seconds), goodput(run, seconds)];
    let latencies: [fn(&Second) -> &Percentiles; 2] = [|second| &second.latency, |second| &second.latency_p0];
    let all = seconds.iter().flat_map(|second| latencies.map(|of| of(second)));
    let scale = Scale::log(all.flat_map(|one| [one.p50, one.p90, one.p99]).flatten());
    let titles = ["Latency, all priorities", "Latency, priority 0: rides under way"];
    for (title, of) in titles.into_iter().zip(latencies) {
        charts.push(latency(title, scale.clone(), seconds, of));
    }
    charts.push(success(seconds));
    charts.push(limit(seconds, run.scenario.control));
    charts.push(level(seconds));
    let server = |title: &str, about: &str, name: &str, shown, of: fn(&ServerSecond) -> Option<f64>| {
        single(title, about, (name, "blue", Draw::AtEnds), shown, seconds, move |second| of(second.server.as_ref()?))
    };
    charts.push(server("CPU of the server", "cores used", "cores", number, |server| server.cores));
    charts.push(server("Memory of the server", "resident, MB", "MB", number, |server| server.rss_mb));
    if run.spray.is_some() {
        charts.push(server("Keys remembered", "by all policies together", "keys", number, |server| server.keys));
    }
    let clients = |second: &Second| Some(f64::from(second.in_flight));
    charts.push(single(
        "Requests under way",
        "as the clients see it, at the end of each second",
        ("under way", "blue", Draw::AtEnds),
        number,
        seconds,
        clients,
    ));
    let mut lag = single(
        "Lateness of the generator",
        "99th percentile of each second, ms: what is late here is not the server's fault",
        ("p99", "blue", Draw::Between),
        number,
        seconds,
        |second| second.lag_p99_ms,
    );
    lag.marks.push(("not valid above".into(), "vermillion", run.validity.max_lag_ms));
    let most = most(&lag.lines).max(run.validity.max_lag_ms);
    lag.scale = Scale::linear(most, 3);
    charts.push(lag);
    charts
}

fn requests(seconds: &[Second]) -> Chart {
    let line = |name: &str, colour, of: fn(&Second) -> u64| {
        let none = if seconds.iter().all(|second| of(second) == 0) { ": none" } else { "" };
        values(&format!("{name}{none}"), colour, Draw::Stacked, seconds, |second| Some(of(second) as f64))
    };
    let lines = vec![
        line("admitted, answered", "blue", |second| second.counts.ok),
        line("refused (429)", "orange", |second| second.counts.refused_429),
        line("shed (503)", "sky", |second| second.counts.refused_503),
        line("failed", "vermillion", |second| second.counts.offered - answered(second)),
    ];
    let top = seconds.iter().map(|second| second.counts.offered as f64).fold(0.0, f64::max);
    Chart {
        title: "Requests offered, and what became of them".into(),
        about: "a second, by the moment at which they were due; the top edge is what was offered".into(),
        height: TALL,
        scale: Scale::linear(top, 4),
        shown: number,
        lines,
        marks: Vec::new(),
    }
}

/// Ended as it should or was refused in time.
fn answered(second: &Second) -> u64 {
    (second.counts.ok + second.counts.refused()).min(second.counts.offered)
}

fn goodput(run: &Outcome, seconds: &[Second]) -> Chart {
    let mut chart = single(
        "Goodput",
        "requests a second that succeeded",
        ("goodput", "blue", Draw::Steps),
        number,
        seconds,
        |second| Some(second.counts.ok as f64),
    );
    let found = [("capacity before", &run.calibration), ("capacity, peak's mix", &run.calibration_after)];
    for (name, found) in found {
        if let Some(found) = found {
            chart.marks.push((name.into(), if name.ends_with("mix") { "green" } else { "ink" }, found.goodput));
        }
    }
    let most = chart.marks.iter().map(|mark| mark.2).fold(most(&chart.lines), f64::max);
    chart.scale = Scale::linear(most, 4);
    chart.height = MIDDLE;
    chart
}

fn latency(title: &str, scale: Scale, seconds: &[Second], of: fn(&Second) -> &Percentiles) -> Chart {
    let line = |name, colour, which: fn(&Percentiles) -> Option<f64>| {
        values(name, colour, Draw::Between, seconds, |second| which(of(second)))
    };
    Chart {
        title: title.into(),
        about: "of requests that succeeded, ms, logarithmic".into(),
        height: MIDDLE,
        scale,
        shown: number,
        lines: vec![
            line("p50", "blue", |one| one.p50),
            line("p90", "orange", |one| one.p90),
            line("p99", "vermillion", |one| one.p99),
        ],
        marks: Vec::new(),
    }
}

fn success(seconds: &[Second]) -> Chart {
    let line = |(priority, (name, colour)): (usize, (&str, &'static str))| {
        values(name, colour, Draw::Between, seconds, |second| {
            let offered = second.offered_by_priority[priority];
            (offered > 0).then(|| second.ok_by_priority[priority] as f64 / offered as f64)
        })
    };
    // What is most important is drawn last, on top.
    let lines = PRIORITIES.into_iter().enumerate().rev().map(line).collect();
    Chart {
        title: "Success by priority".into(),
        about: "share of what was offered; no line where nothing was".into(),
        height: MIDDLE,
        scale: Scale::fixed(1.0, vec![0.0, 0.25, 0.5, 0.75, 1.0]),
        shown: percent,
        lines,
        marks: Vec::new(),
    }
}

fn limit(seconds: &[Second], control: bool) -> Chart {
    let line = |name, colour, of: fn(&ServerSecond) -> Option<f64>| {
        values(name, colour, Draw::AtEnds, seconds, |second| of(second.server.as_ref()?))
    };
    let lines = vec![line("limit", "ink", |server| server.limit), line("in flight", "blue", |server| server.in_flight)];
    Chart {
        title: "Concurrency limit of the server".into(),
        about: match control {
            true => "shedding was off: nobody is turned away at this limit; looked at at the end of each second".into(),
            false => "and requests that hold a place of it, at the end of each second".into(),
        },
        height: MIDDLE,
        scale: Scale::linear(most(&lines), 4),
        shown: number,
        lines,
        marks: Vec::new(),
    }
}

fn level(seconds: &[Second]) -> Chart {
    let lines = vec![values("level", "vermillion", Draw::Steps, seconds, |second| second.server.as_ref()?.level)];
    Chart {
        title: "Shed level".into(),
        about: "1 catalogue off · 2 and history, profile · 3 and sign-in, quotes · 4 only rides under way".into(),
        height: LOW,
        scale: Scale::fixed(4.0, vec![0.0, 1.0, 2.0, 3.0, 4.0]),
        shown: number,
        lines,
        marks: Vec::new(),
    }
}

/// A low chart of one line from 0.
fn single(
    title: &str,
    about: &str,
    (name, colour, draw): (&str, &'static str, Draw),
    shown: fn(f64) -> String,
    seconds: &[Second],
    of: impl Fn(&Second) -> Option<f64>,
) -> Chart {
    let lines = vec![values(name, colour, draw, seconds, of)];
    Chart {
        title: title.into(),
        about: about.into(),
        height: LOW,
        scale: Scale::linear(most(&lines), 3),
        shown,
        lines,
        marks: Vec::new(),
    }
}

fn values(
    name: &str,
    colour: &'static str,
    draw: Draw,
    seconds: &[Second],
    of: impl Fn(&Second) -> Option<f64>,
) -> Line {
    Line { name: name.into(), colour, draw, values: seconds.iter().map(of).collect() }
}

fn most(lines: &[Line]) -> f64 {
    lines.iter().flat_map(|line| line.values.iter().flatten()).copied().fold(0.0, f64::max)
}

//! The numbers behind the pictures.

use std::fmt::Write;

use super::{
    super::outcome::{Counts, Outcome, Percentiles},
    refusals,
    text::{NOTHING, count, esc, figure, ms, number, percent, share_of, with_unit},
};

const COUNTS: &str = "<th>offered</th><th>ok</th><th>success</th><th>429</th><th>503 shed</th><th>failed</th>";
const LATENCY: &str = "<th>p50</th><th>p90</th><th>p99</th><th>p99.9</th><th>max</th>";

/// A heading and a table; nothing where there are no rows.
pub(super) fn table(id: &str, title: &str, about: &str, head: &str, rows: &str) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let about = if about.is_empty() { String::new() } else { format!("<p class=\"about\">{about}</p>\n") };
    format!(
        "<section><h2 id=\"{id}\">{title}</h2>\n{about}<div class=\"scroll\"><table><thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table></div></section>\n"
    )
}

/// All tables, in the order in which a reader asks for them.
pub(super) fn html(run: &Outcome) -> String {
    [
        phases(run),
        priorities_in_phases(run),
        kinds(run),
        priorities(run),
        refusals::html(run),
        fairness(run),
        spray(run),
        figures(run),
    ]
    .concat()
}

/// Cells of what became of requests; per second when `seconds` is not 1.
fn counts(counts: &Counts, seconds: f64) -> String {
    let cell = |value: u64| {
        let class = if value == 0 { " class=\"zero\"" } else { "" };
        let text = if seconds == 1.0 { count(value) } else { number(value as f64 / seconds) };
        format!("<td{class}>{text}</td>")
    };
    let failed = counts.offered.saturating_sub(counts.ok + counts.refused());
    format!(
        "{}{}<td>{}</td>{}{}{}",
        cell(counts.offered),
        cell(counts.ok),
        share_of(counts.ok, counts.offered),
        cell(counts.refused_429),
        cell(counts.refused_503),
        cell(failed)
    )
}

fn latency(of: &Percentiles) -> String {
    [of.p50, of.p90, of.p99, of.p999, of.max].map(|value| format!("<td>{}</td>", ms(value))).concat()
}

fn phases(run: &Outcome) -> String {
    let mut rows = String::new();
    // Retries come long after the phase that they are counted in.
    let of_a_second = run.retries.is_none();
    for phase in &run.phases {
        let seconds = (phase.to_s - phase.from_s).max(0.001);
        let cores = phase.server_cores.map_or_else(|| NOTHING.to_owned(), number);
        let role = if phase.role.is_empty() { String::new() } else { format!(" <small>{}</small>", esc(&phase.role)) };
        let _ = writeln!(
            rows,
            "<tr><td>{}{role}</td><td>{}</td>{}{}<td>{cores}</td></tr>",
            esc(&phase.name),
            number(seconds),
            counts(&phase.counts, if of_a_second { seconds } else { 1.0 }),
            latency(&phase.latency)
        );
    }
    let about = match of_a_second {
        true => "Requests a second; latency in ms; cores that the server used.",
        false => "Requests, with the retries that came of them; latency in ms; cores that the server used.",
    };
    let head = format!("<th>phase</th><th>s</th>{COUNTS}{LATENCY}<th>cores</th>");
    table("phases", "Phases", about, &head, &rows)
}

fn priorities_in_phases(run: &Outcome) -> String {
    let mut rows = String::new();
    for phase in run.phases.iter().filter(|_| run.phases.len() > 1) {
        let of = |priority: u8| phase.priorities.iter().find(|row| row.priority == priority);
        let success = |row: &super::super::outcome::PriorityRow| share_of(row.counts.ok, row.counts.offered);
        let p99 = |row: &super::super::outcome::PriorityRow| ms(row.latency.p99);
        let cell = |text: Option<String>| format!("<td>{}</td>", text.unwrap_or_else(|| NOTHING.to_owned()));
        let all = (0..5).map(|priority| cell(of(priority).map(success)));
        let late = (0..5).map(|priority| cell(of(priority).map(p99)));
        let _ = writeln!(rows, "<tr><td>{}</td>{}</tr>", esc(&phase.name), all.chain(late).collect::<String>());
    }
    let tiers = |word: &str| (0..5).map(|priority| format!("<th>{word} {priority}</th>")).collect::<String>();
    let head = format!("<th>phase</th>{}{}", tiers("ok"), tiers("p99"));
    let about = "Success and p99 (ms) of each priority; 0 are rides under way, 4 is the catalogue.";
    table("phase-priorities", "Priorities in each phase", about, &head, &rows)
}

fn kinds(run: &Outcome) -> String {
    let mut rows = String::new();
    for kind in &run.kinds {
        let _ = writeln!(
            rows,
            "<tr><td><code>{}</code></td><td>{}</td><td>{}</td>{}{}</tr>",
            esc(&kind.route),
            kind.priority,
            esc(&kind.class),
            counts(&kind.counts, 1.0),
            latency(&kind.latency)
        );
    }
    if !rows.is_empty() {
        let (counts, latency) = (counts(&run.totals, 1.0), latency(&run.latency));
        let _ = writeln!(rows, "<tr class=\"sum\"><td>all</td><td></td><td></td>{counts}{latency}</tr>");
    }
    let head = format!("<th>request</th><th>priority</th><th>class</th>{COUNTS}{LATENCY}");
    table("kinds", "By kind of request", "The whole run; latency in ms.", &head, &rows)
}

fn priorities(run: &Outcome) -> String {
    let mut rows = String::new();
    for row in run.priorities.iter().filter(|row| row.counts.offered > 0) {
        let (counts, latency) = (counts(&row.counts, 1.0), latency(&row.latency));
        let _ = writeln!(rows, "<tr><td>{}</td>{counts}{latency}</tr>", row.priority);
    }
    let head = format!("<th>priority</th>{COUNTS}{LATENCY}");
    table("priorities", "By priority", "The whole run; latency in ms.", &head, &rows)
}

fn fairness(run: &Outcome) -> String {
    let Some(found) = &run.fairness else { return String::new() };
    let hot = format!("<tr><td>the hot key ({} times)</td>{}</tr>\n", number(found.hot_times), counts(&found.hot, 1.0));
    let rest = format!("<tr><td>{} others</td>{}</tr>\n", count(found.keys), counts(&found.rest, 1.0));
    let ratios = found.ratios.map_or_else(String::new, |(low, middle, high)| {
        format!(
            "Success of the others: lowest {}, median {}, highest {}.",
            percent(low),
            percent(middle),
            percent(high)
        )
    });
    table("fairness", "One hot key among many", &ratios, &format!("<th></th>{COUNTS}"), &(hot + &rest))
}

fn spray(run: &Outcome) -> String {
    let Some(spray) = &run.spray else { return String::new() };
    let memory = |value: Option<f64>| value.map_or_else(|| "not measured".to_owned(), |mb| with_unit(mb, "MB"));
    let rows = [
        ("keys sent", format!("{} of {}", count(spray.keys_sent), count(spray.keys_asked))),
        ("in", with_unit(spray.seconds, "s")),
        ("memory before", memory(spray.rss_before_mb)),
        ("memory after", memory(spray.rss_after_mb)),
        ("memory, most", memory(spray.rss_max_mb)),
        ("memory a key", spray.bytes_a_key.map_or_else(|| "not measured".to_owned(), |bytes| with_unit(bytes, "B"))),
    ];
    let rows: String = rows.iter().map(|(name, value)| format!("<tr><td>{name}</td><td>{value}</td></tr>\n")).collect();
    table("spray", "Many keys, once each", "", "<th></th><th></th>", &rows)
}

fn figures(run: &Outcome) -> String {
    let measured = run.figures.iter().filter(|row| row.value.is_some());
    let rows: String = measured
        .map(|row| {
            let (name, value, about) = (esc(&row.name), figure(row), esc(&row.about));
            format!("<tr><td><code>{name}</code></td><td>{value}</td><td class=\"text about\">{about}</td></tr>\n")
        })
        .collect();
    table("figures", "All figures", "", "<th>figure</th><th></th><th class=\"text\">what it is</th>", &rows)
}

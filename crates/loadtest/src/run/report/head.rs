//! What a reader must see first: what was run, whether it held, the few figures that matter.

use std::fmt::Write;

use super::{
    super::{checks::Check, outcome::Outcome},
    text::{count, date, esc, figure, number, with_unit},
};

/// Figures at the top, the first so many that were measured.
const HEADLINES: [(&str, &str); 17] = [
    ("retry_peak_to_mean", "busiest bin of the retries, times the mean"),
    ("storm_served", "of the storm's clients were served"),
    ("jain", "Jain's index of the others' success"),
    ("success_rest", "success of all but the hot key"),
    ("spray_keys_per_s", "new keys"),
    ("spray_bytes_a_key", "memory for each key"),
    ("goodput", "goodput at the peak"),
    ("goodput_of_bound", "of what refusals leave of the capacity"),
    ("success_p0", "success of priority 0 at the peak"),
    ("p99_p0_ratio", "p99 of priority 0 at the peak, times the unloaded"),
    ("recovery_s", "after the peak, until all is as before"),
    ("success", "success, whole run"),
    ("p99_ms", "p99 latency, whole run"),
    ("refused", "refused, whole run"),
    ("over_admission", "most above a policy's bound"),
    ("rss_mb", "memory of the server, most"),
    ("server_cores", "cores of the server at the peak"),
];
const SHOWN: usize = 8;

/// Title, what was sent to whom, verdict, checks, headline figures.
pub(super) fn html(run: &Outcome) -> String {
    let name = esc(&run.scenario.name);
    let control = if run.scenario.control { " — control experiment: shedding was off" } else { "" };
    let mut out = format!("<header><h1>{name}{control}</h1>\n<p class=\"about\">{}</p>\n", esc(&run.scenario.about));
    let _ = writeln!(out, "<p>{}</p></header>", sentence(run));
    out.push_str(&verdict(run));
    out.push_str(&checks(run));
    out.push_str(&headlines(run));
    for note in &run.notes {
        let _ = writeln!(out, "<p class=\"note\">{}</p>", esc(note));
    }
    out
}

fn sentence(run: &Outcome) -> String {
    let (facts, server) = (&run.scenario, &run.server);
    let mut text = format!("{} requests", count(run.totals.offered));
    match &run.spray {
        Some(spray) => write!(text, " with {} keys in {} s", count(spray.keys_sent), number(spray.seconds)),
        None => {
            let retries = run.series.iter().map(|second| second.retries).sum();
            let last = run.series.iter().rfind(|second| second.counts.offered > 0).map_or(0.0, |second| second.at_s);
            if retries > 0 {
                let _ = write!(text, ", {} of them retries,", count(retries));
            }
            write!(text, " in {} s", number(facts.seconds.max(last)))
        }
    }
    .unwrap_or_default();
    if facts.passengers > 0 {
        let _ = write!(text, " from {} passengers", count(facts.passengers.into()));
    }
    if run.spray.is_none() {
        let _ = write!(text, " at {} address{}", facts.sources, if facts.sources == 1 { "" } else { "es" });
    }
    let whose = if server.own { "a server of this tool's own" } else { "the server" };
    let _ = write!(text, " were sent to {whose} at <code>{}</code>", esc(&server.url));
    let place = if server.pinned { "on one core, the generator on another" } else { "beside the generator" };
    let cores = if server.cores == 1 { "core" } else { "cores" };
    let _ = write!(text, ", {place}, on a machine of {} {cores}", server.cores);
    let _ = write!(text, ", {} ({}).", date(run.began_unix_s), esc(&run.tool));
    text
}

fn verdict(run: &Outcome) -> String {
    let failed = run.checks.iter().filter(|check| check.failed()).count();
    let excused = run.checks.iter().filter(|check| check.excused).count();
    let all = run.checks.len() - excused;
    let (class, text) = match (run.validity.valid, all, failed) {
        (false, ..) => ("void", "Not valid: this run says nothing about the server".to_owned()),
        (true, 0, _) if excused > 0 => ("plain", "Valid; none of the checks can be measured here".to_owned()),
        (true, 0, _) => ("plain", "Valid; no checks were asked for".to_owned()),
        (true, 1, 0) => ("holds", "The check holds".to_owned()),
        (true, _, 0) => ("holds", format!("All {all} checks hold")),
        (true, ..) => ("fails", format!("{failed} of {all} checks failed")),
    };
    let reasons: String = run.validity.reasons.iter().map(|reason| format!("<br>{}", esc(reason))).collect();
    let valid = match run.validity.valid {
        true => "<br>The run is valid: the generator kept its schedule.",
        false => "",
    };
    let uncounted = match excused {
        0 => String::new(),
        _ => format!("<br>Not measured, for nothing was shed, and not counted: {excused}."),
    };
    let control = match run.scenario.control {
        true => "<br>Control experiment: the bars are those of the same load with shedding on.",
        false => "",
    };
    format!("<p class=\"verdict {class}\" id=\"verdict\"><b>{text}</b>{reasons}{valid}{control}{uncounted}</p>\n")
}

fn checks(run: &Outcome) -> String {
    if run.checks.is_empty() {
        return String::new();
    }
    let mut out = String::from(
        "<div class=\"scroll\"><table class=\"checks\"><thead><tr><th>Check</th><th>bar</th><th>figure</th><th></th><th class=\"wide\">what it is</th></tr></thead>\n",
    );
    for row in &run.checks {
        // A file may have been written by another version, with checks that this one does not know.
        let check = Check::parse(&row.check).ok();
        let known = check.as_ref().and_then(|check| run.figures.iter().find(|figure| figure.name == check.figure()));
        let unit = known.map_or("", |figure| figure.unit.as_str());
        let (name, bar) = match &check {
            Some(check) => (esc(check.figure()), format!("{} {}", check.sign(), with_unit(check.bar(), unit))),
            None => (esc(&row.check), String::new()),
        };
        let value = row.value.map_or_else(|| "not measured".to_owned(), |value| with_unit(value, unit));
        let (class, word) = match (row.holds, row.excused) {
            (true, _) => ("holds", "✓ holds"),
            (false, true) => ("about", "does not count"),
            (false, false) => ("fails", "✗ failed"),
        };
        let about = known.map(|figure| esc(&figure.about)).unwrap_or_default();
        let _ = writeln!(
            out,
            "<tr><td><code>{name}</code></td><td>{bar}</td><td><b>{value}</b></td><td class=\"{class}\">{word}</td><td class=\"wide about\">{about}</td></tr>"
        );
    }
    out + "</table></div>\n"
}

fn headlines(run: &Outcome) -> String {
    let has_peak = run.phases.iter().any(|phase| phase.role == "peak");
    let found = HEADLINES.iter().filter_map(|(name, words)| {
        let known = run.figures.iter().find(|figure| figure.name == *name && figure.value.is_some())?;
        let value = figure(known);
        // Without a phase of that role such a figure is of the whole run.
        let words = if has_peak { (*words).to_owned() } else { words.replace(" at the peak", "") };
        Some(format!("<div title=\"{}\"><b>{value}</b><span>{words}</span></div>\n", esc(&known.about)))
    });
    let tiles: String = found.take(SHOWN).collect();
    format!("<h2 id=\"headline\">In short</h2>\n<div class=\"tiles\">{tiles}</div>\n")
}

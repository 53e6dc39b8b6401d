//! How good the measurement is, and how to make it again.

use std::fmt::Write;

use super::{
    super::outcome::{Calibration, Outcome},
    text::{count, esc, ms, number, with_unit},
};

/// The generator, the capacity, the settings, the command.
pub(super) fn html(run: &Outcome) -> String {
    generator(run) + &capacity(run) + &settings(run)
}

fn pairs(id: &str, title: &str, rows: &[(&str, String)]) -> String {
    let rows: String =
        rows.iter().map(|(name, value)| format!("<tr><td>{name}</td><td class=\"text\">{value}</td></tr>\n")).collect();
    format!(
        "<section><h2 id=\"{id}\">{title}</h2>\n<div class=\"scroll\"><table class=\"pairs\">{rows}</table></div></section>\n"
    )
}

fn generator(run: &Outcome) -> String {
    let (found, lag) = (&run.validity, &run.validity.lag);
    let shown = [("p50", lag.p50), ("p90", lag.p90), ("p99", lag.p99), ("p99.9", lag.p999), ("max", lag.max)];
    let words: Vec<_> = shown.iter().map(|(name, value)| format!("{name} {}", ms(*value))).collect();
    let cores = found.generator_cores.map_or_else(|| "not measured".to_owned(), number);
    pairs(
        "generator",
        "The generator",
        &[
            ("late by, ms", words.join(" · ")),
            ("not valid above, ms at p99", number(found.max_lag_ms)),
            ("cores it used", cores),
            ("drawn again, as nobody was in the state", count(found.redrawn)),
        ],
    )
}

fn capacity(run: &Outcome) -> String {
    let words = |found: &Calibration| {
        let steps: Vec<_> =
            found.steps.iter().map(|(under_way, goodput)| format!("{under_way}: {}", number(*goodput))).collect();
        let cpu = found.cpu_us.map(|us| format!(", {} of CPU each", with_unit(us, "us"))).unwrap_or_default();
        format!(
            "{} with {} under way{cpu} <small>(tried {})</small>",
            with_unit(found.goodput, "1/s"),
            found.in_flight,
            steps.join(" · ")
        )
    };
    let both = [("before the run", &run.calibration), ("after, with what the peak accepted", &run.calibration_after)];
    let rows: Vec<_> = both.iter().filter_map(|(name, found)| Some((*name, words(found.as_ref()?)))).collect();
    if rows.is_empty() { String::new() } else { pairs("capacity", "Capacity, in a closed loop", &rows) }
}

fn settings(run: &Outcome) -> String {
    let facts = &run.scenario;
    let from = if facts.base_from == "measured" { "measured" } else { "given" };
    let rows = [
        ("a rate of 1 is", format!("{}, {from}", with_unit(facts.base_rate, "1/s"))),
        ("arrivals", format!("{}, seed {}", esc(&facts.arrivals), facts.seed)),
        ("a client gives up after", format!("{} ms", count(facts.deadline_ms))),
        ("under way at once, at most", count(facts.max_in_flight.into())),
        ("passengers, addresses", format!("{}, {}", count(facts.passengers.into()), count(facts.sources.into()))),
        ("shedding", if facts.control { "off, quotas huge (control)" } else { "as the server is set" }.to_owned()),
        ("routes and policies from", esc(&run.server.routes_from)),
    ];
    let command = esc(&command(run));
    pairs("settings", "Settings", &rows)
        + &format!("<section><h2 id=\"again\">To run it again</h2>\n<pre>{command}</pre></section>\n")
}

/// What a person types for the same.
fn command(run: &Outcome) -> String {
    let facts = &run.scenario;
    let mut text = format!("loadtest run {}", quoted(&facts.name));
    if run.server.own {
        text.push_str(" --server passenger-gateway");
    } else {
        let _ = write!(text, " --url {}", quoted(&run.server.url));
    }
    // What was measured is measured again: some figures need it.
    if run.spray.is_none() && facts.base_from != "measured" {
        let _ = write!(text, " --rate {}", facts.base_rate);
    }
    match &run.spray {
        Some(spray) => write!(text, " --keys {}", spray.keys_asked),
        None => write!(text, " --seconds {}", facts.seconds),
    }
    .unwrap_or_default();
    let _ = write!(text, " --passengers {} --seed {}", facts.passengers, facts.seed);
    for (given, option) in [(run.server.pinned, " --pin"), (facts.control, " --control")] {
        text.push_str(if given { option } else { "" });
    }
    run.checks.iter().fold(text, |text, row| text + " \\\n  --check " + &quoted(&row.check))
}

/// As one word of a shell.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:".contains(letter);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spray_has_keys_and_no_schedule_to_stretch() {
        let spray = Some(super::super::super::outcome::Spray { keys_asked: 9, ..Default::default() });
        let text = command(&Outcome { spray, ..Outcome::default() });
        assert!(text.contains(" --keys 9") && !text.contains("--seconds"), "{text}");
    }

    #[test]
    fn what_was_measured_is_measured_again() {
        let mut run = Outcome::default();
        run.scenario.base_rate = 70.0;
        assert!(command(&run).contains(" --rate 70 "), "{}", command(&run));
        run.scenario.base_from = "measured".into();
        assert!(!command(&run).contains("--rate"), "{}", command(&run));
    }

    #[test]
    fn words_for_a_shell_stay_one_word() {
        assert_eq!(quoted("key-spray"), "key-spray");
        assert_eq!(quoted("p99_ms<=4"), "'p99_ms<=4'");
        assert_eq!(quoted("a'b; c"), r"'a'\''b; c'");
    }
}

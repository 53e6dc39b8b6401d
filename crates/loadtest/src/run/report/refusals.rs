//! Who refused whom how often, and whether a policy admitted too much.

use std::{collections::BTreeMap, fmt::Write};

use super::{
    super::outcome::{Counts, Outcome},
    tables::table,
    text::{NOTHING, count, esc, number, percent, share_of},
};

/// By policy, by class, and the policies themselves.
pub(super) fn html(run: &Outcome) -> String {
    refusers(run) + &classes(run) + &policies(run)
}

/// What clients were told, beside what the server counted.
fn refusers(run: &Outcome) -> String {
    let mut decided: BTreeMap<&str, BTreeMap<&str, f64>> = BTreeMap::new();
    for second in run.series.iter().filter_map(|second| second.server.as_ref()) {
        for (policy, outcomes) in &second.decisions {
            for (outcome, number) in outcomes {
                *decided.entry(policy).or_default().entry(outcome).or_default() += number;
            }
        }
    }
    let mut names: Vec<&str> = run.refused_by.keys().map(String::as_str).chain(decided.keys().copied()).collect();
    names.sort_unstable();
    names.dedup();
    names.sort_by_key(|name| std::cmp::Reverse(run.refused_by.get(*name).copied().unwrap_or(0)));
    let mut rows = String::new();
    for name in names {
        let told = run.refused_by.get(name).copied().unwrap_or(0);
        let server = decided.get(name).map_or_else(
            || "not asked".to_owned(),
            |outcomes| {
                let shown = outcomes.iter().filter(|(_, number)| **number > 0.0);
                let words: Vec<_> = shown
                    .map(|(outcome, number)| format!("{} {}", esc(&outcome.replace('_', " ")), count(*number as u64)))
                    .collect();
                if words.is_empty() { "nothing".to_owned() } else { words.join(" · ") }
            },
        );
        let share = share_of(told, run.totals.refused());
        let _ = writeln!(
            rows,
            "<tr><td><code>{}</code></td><td>{}</td><td>{share}</td><td class=\"text\">{server}</td></tr>",
            esc(name),
            count(told)
        );
    }
    let about = "Who said no, as the clients were told (<code>overload</code> is the concurrency limit), and what the server itself counted meanwhile.";
    let head = "<th>policy</th><th>refusals</th><th>of all</th><th class=\"text\">the server's own count</th>";
    table("refusals", "Refusals by policy", about, head, &rows)
}

fn classes(run: &Outcome) -> String {
    let mut classes: BTreeMap<&str, Counts> = BTreeMap::new();
    for kind in &run.kinds {
        let sum = classes.entry(&kind.class).or_default();
        *sum = sum.plus(&kind.counts);
    }
    let mut rows = String::new();
    for (class, sum) in classes.into_iter().filter(|(_, sum)| sum.offered > 0) {
        let (told, shed) = (share_of(sum.refused_429, sum.offered), share_of(sum.refused_503, sum.offered));
        let _ = writeln!(
            rows,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{told}</td><td>{}</td><td>{shed}</td></tr>",
            esc(class),
            count(sum.offered),
            count(sum.refused_429),
            count(sum.refused_503)
        );
    }
    let head = "<th>class</th><th>offered</th><th>429</th><th>share</th><th>503 shed</th><th>share</th>";
    table("classes", "Refusals by class", "", head, &rows)
}

fn policies(run: &Outcome) -> String {
    let mut rows = String::new();
    for row in &run.policies {
        let worst = match (&row.worst_key, row.worst_admitted, row.worst_allowed) {
            (Some(key), Some(admitted), Some(allowed)) => {
                format!("{} of {} for <code>{}</code>", number(admitted), number(allowed), esc(key))
            }
            _ => NOTHING.to_owned(),
        };
        let over = if row.over > 0.0 {
            format!("<td class=\"fails\">{}</td>", percent(row.over))
        } else {
            "<td>0</td>".into()
        };
        let _ = writeln!(
            rows,
            "<tr><td><code>{}</code></td><td class=\"text\">{}</td><td class=\"text\">{} in {} s, burst {}</td><td>{}</td><td>{}</td><td class=\"text\">{worst}</td>{over}</tr>",
            esc(&row.policy),
            esc(&row.key),
            count(row.quota),
            row.window_s,
            count(row.burst),
            count(row.keys),
            count(row.admitted)
        );
    }
    let head = "<th>policy</th><th class=\"text\">key</th><th class=\"text\">allowed</th><th>keys</th><th>admitted</th><th class=\"text\">closest to its bound</th><th>over</th>";
    let about = "What was admitted against burst + rate · t, over all stretches of time.";
    table("policies", "The server's policies", about, head, &rows)
}

//! The whole page, of a sample.

use serde_json::Value;

use super::{
    super::outcome::{
        Calibration, CheckRow, Counts, Fairness, Figure, KindRow, Percentiles, PhaseRow, PolicyRow, PriorityRow,
        RetryWave, ScenarioFacts, Second, ServerFacts, ServerSecond, Spray, Validity,
    },
    *,
};

const COUNTS: Counts = Counts {
    offered: 1234,
    ok: 1000,
    refused_429: 200,
    refused_503: 30,
    server_5xx: 1,
    unexpected: 1,
    timeouts: 1,
    connection: 1,
    not_sent: 0,
};

fn latency(p50: f64) -> Percentiles {
    let times = |factor: f64| Some(p50 * factor);
    Percentiles { count: 1000, p50: Some(p50), p90: times(2.0), p99: times(9.0), p999: times(20.0), max: times(30.0) }
}

/// One of everything that a run can have.
fn sample() -> Outcome {
    let phase = |name: &str, role: &str, from_s, to_s| PhaseRow {
        name: name.into(),
        role: role.into(),
        from_s,
        to_s,
        rate_from: 1.0,
        rate_to: 1.0,
        counts: COUNTS,
        latency: latency(3.0),
        priorities: vec![PriorityRow { priority: 0, counts: COUNTS, latency: latency(2.0) }],
        server_cores: Some(0.9),
    };
    let second = |at: u32| Second {
        at_s: f64::from(at),
        counts: COUNTS,
        latency: latency(f64::from(at + 1)),
        latency_p0: latency(1.0),
        offered_by_priority: [10; 5],
        ok_by_priority: [9; 5],
        lag_p99_ms: Some(1.0),
        in_flight: 3,
        retries: 2,
        server: Some(ServerSecond {
            cores: Some(0.5),
            rss_mb: Some(40.0),
            limit: Some(20.0),
            in_flight: Some(7.0),
            level: Some(2.0),
            keys: Some(5.0),
            decisions: [("address".to_owned(), [("shadow_refused".to_owned(), 4.0)].into())].into(),
        }),
        ..Second::default()
    };
    let figure = |name: &str, value, unit: &str| Figure {
        name: name.into(),
        value,
        unit: unit.into(),
        about: format!("what {name} is"),
    };
    let check = |check: &str, value, holds| CheckRow { check: check.into(), value, holds, excused: false };
    let capacity =
        Calibration { goodput: 900.0, in_flight: 12, steps: vec![(4, 700.0)], cpu_us: Some(800.0), skew: 0.0 };
    Outcome {
        tool: "loadtest 1".into(),
        scenario: ScenarioFacts {
            name: "sample".into(),
            about: "Shows everything.".into(),
            arrivals: "poisson".into(),
            seconds: 4.0,
            base_rate: 300.0,
            passengers: 7,
            sources: 2,
            ..ScenarioFacts::default()
        },
        server: ServerFacts {
            url: "http://127.0.0.1:1".into(),
            own: true,
            routes_from: "server".into(),
            ..ServerFacts::default()
        },
        validity: Validity { valid: true, lag: latency(0.1), max_lag_ms: 50.0, ..Validity::default() },
        calibration: Some(capacity.clone()),
        calibration_after: Some(capacity),
        totals: COUNTS,
        latency: latency(3.0),
        kinds: vec![KindRow {
            route: "GET /v1/me".into(),
            class: "profile".into(),
            priority: 3,
            counts: COUNTS,
            ..KindRow::default()
        }],
        priorities: vec![PriorityRow { priority: 3, counts: COUNTS, latency: latency(1.0) }],
        phases: vec![phase("calm", "unloaded", 0.0, 2.0), phase("storm", "peak", 2.0, 4.0)],
        series: (0..4).map(second).collect(),
        refused_by: [("address".to_owned(), 200), ("overload".to_owned(), 30)].into(),
        policies: vec![PolicyRow {
            policy: "address".into(),
            key: "address".into(),
            worst_key: Some("127.0.1.1".into()),
            worst_admitted: Some(9.0),
            worst_allowed: Some(10.0),
            ..PolicyRow::default()
        }],
        retries: Some(RetryWave {
            clients: 5,
            served: 5,
            bin_s: 1.0,
            bins: vec![3, 2],
            mean: Some(2.5),
            told: [(1, 3)].into(),
            ..RetryWave::default()
        }),
        fairness: Some(Fairness { ratios: Some((0.5, 0.9, 1.0)), ..Fairness::default() }),
        spray: Some(Spray { keys_sent: 10, ..Spray::default() }),
        figures: vec![figure("goodput", Some(1000.0), "1/s"), figure("success_p0", Some(0.9), "share")],
        checks: vec![check("success_p0>=0.995", Some(0.9), false), check("goodput>=10", Some(1000.0), true)],
        notes: vec!["A note.".into()],
        ..Outcome::default()
    }
}

#[test]
fn every_section_is_there_the_verdict_first() {
    let mut run = sample();
    let page = html(&run);
    let ids = [
        "verdict",
        "headline",
        "wave",
        "plots",
        "phases",
        "phase-priorities",
        "kinds",
        "priorities",
        "refusals",
        "classes",
        "policies",
        "fairness",
        "spray",
        "figures",
        "generator",
        "capacity",
        "settings",
        "again",
    ];
    let places: Vec<_> =
        ids.iter().map(|id| page.find(&format!("id=\"{id}\"")).unwrap_or_else(|| panic!("no {id}"))).collect();
    assert!(places.is_sorted(), "{places:?}");
    let charts = [
        "Requests offered, and what became of them",
        "Goodput",
        "Latency, all priorities",
        "Latency, priority 0: rides under way",
        "Success by priority",
        "Concurrency limit of the server",
        "Shed level",
        "CPU of the server",
        "Memory of the server",
        "Keys remembered",
        "Requests under way",
        "Lateness of the generator",
        "Retries",
        "Retry-After",
    ];
    charts.iter().for_each(|title| assert!(page.contains(&format!("aria-label=\"{title}\"")), "{title}"));
    assert!(page.contains("1 of 2 checks failed") && page.contains("✗ failed") && page.contains("✓ holds"));
    run.checks.push(CheckRow { check: "bound>=0.5".into(), excused: true, ..CheckRow::default() });
    let page = html(&run);
    assert!(
        page.contains("1 of 2 checks failed") && page.contains("does not count") && page.contains("not counted: 1.")
    );
    run.spray = None;
    assert!(html(&run).contains("loadtest run sample --server passenger-gateway --rate 300 --seconds 4"));
}

#[test]
fn text_from_data_is_never_markup() {
    const EVIL: &str = "\"'><script src=//x>alert(1)</script>&";
    fn spoil(value: &mut Value) {
        match value {
            Value::String(text) => *text = EVIL.to_owned(),
            Value::Array(all) => all.iter_mut().for_each(spoil),
            Value::Object(all) => {
                all.values_mut().for_each(spoil);
                // Names of policies and outcomes are keys.
                if let Some(value) = all.remove("address").or_else(|| all.remove("shadow_refused")) {
                    all.insert(EVIL.to_owned(), value);
                }
            }
            _ => {}
        }
    }
    let mut evil = serde_json::to_value(sample()).unwrap();
    spoil(&mut evil);
    evil["validity"] = serde_json::json!({ "valid": false, "reasons": [EVIL], "lag": evil["validity"]["lag"],
        "max_lag_ms": 1.0, "generator_cores": null, "redrawn": 0 });
    let page = html(&serde_json::from_value(evil).unwrap());
    assert!(page.contains("&lt;script src"));
    for bad in ["<script", "</script", "\"'>", "script>&"] {
        assert!(!page.contains(bad), "{bad}");
    }
}

#[test]
fn the_page_asks_nobody_for_anything() {
    let page = html(&sample());
    for word in [" src=", " href=", "url(", "@import", "<script", "<link"] {
        assert!(!page.contains(word), "{word}");
    }
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn the_control_experiment_says_in_its_headline_that_shedding_was_off() {
    let mut run = sample();
    assert!(!html(&run).contains("shedding was off"));
    run.scenario.control = true;
    let page = html(&run);
    assert!(page.contains("<h1>sample — control experiment: shedding was off</h1>"));
    assert!(page.contains(" --control"));
}

#[test]
fn a_run_that_is_not_valid_says_so_first_and_why() {
    let mut run = sample();
    run.validity.valid = false;
    run.validity.reasons = vec!["the generator was late".into()];
    let page = html(&run);
    assert!(page.contains("Not valid: this run says nothing about the server</b><br>the generator was late"));
    assert!(!page.contains("checks failed"));
}

#[test]
fn a_run_that_found_nothing_is_a_page_too() {
    let page = html(&Outcome::default());
    assert!(page.contains("Nothing was recorded over time.") && page.ends_with("</html>\n"));
    assert!(!page.contains("NaN"), "{page}");
    let mut run = sample();
    run.series.iter_mut().for_each(|second| second.server = None);
    assert!(html(&run).contains("Not measured in this run: concurrency limit of the server; shed level"));
}

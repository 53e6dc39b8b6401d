//! When a server is as it was before.

use std::time::Instant;

use super::{
    super::{
        book::{End, Event},
        kinds::Kind,
    },
    *,
};

/// A hundred requests a second for `seconds`; `like` says how long each takes, in ms, none when it is refused.
fn book(seconds: u64, like: impl Fn(u64) -> Option<u64>) -> Book {
    let mut book = Book::new(Instant::now(), 1, None);
    for ms in (0..seconds * 1000).step_by(10) {
        let due = Duration::from_millis(ms);
        let (latency, end) = like(ms).map_or((1, End::Refused503), |ms| (ms, End::Ok));
        let ended = due + Duration::from_millis(latency);
        let (kind, source) = (Kind::Ride, 0);
        let event =
            Event { due, sent: due, ended, phase: 0, kind, priority: 0, end, who: None, source, is_retry: false };
        book.add(&event, 0);
    }
    book
}

fn phase(from_s: f64, to_s: f64, success: u64, p99: f64) -> PhaseRow {
    let counts = Counts { offered: 100, ok: success, ..Counts::default() };
    let latency = Percentiles { p99: Some(p99), ..Percentiles::default() };
    PhaseRow { from_s, to_s, counts, latency, ..PhaseRow::default() }
}

fn recovered(like: impl Fn(u64) -> Option<u64>) -> Option<f64> {
    recovery(&phase(2.0, 10.0, 0, 0.0), &phase(0.0, 1.0, 100, 10.0), &book(10, like))
}

#[test]
fn a_server_that_is_as_before_at_once_needs_no_time() {
    assert_eq!(recovered(|_| Some(10)), Some(0.0));
}

#[test]
fn slow_answers_after_the_peak_are_no_recovery() {
    assert_eq!(recovered(|ms| Some(if ms < 3500 { 400 } else { 10 })), Some(1.5));
}

#[test]
fn fast_refusals_after_the_peak_are_no_recovery_either() {
    assert_eq!(recovered(|ms| (ms >= 5000).then_some(10)), Some(3.0));
    assert_eq!(recovered(|_| None), None);
}

#[test]
fn a_second_of_the_series_is_its_four_quarters() {
    let book = book(2, |ms| (ms % 1000 < 500).then_some(10));
    let series = rows::series(&book, &Sights::default());
    assert_eq!(series.len(), 2);
    assert_eq!((series[1].counts.ok, series[1].counts.refused_503), (50, 50));
    assert_eq!(series[1].latency.count, 50);
    assert_eq!(series[1].refused_by["overload"], 50);
    assert_eq!(series[1].offered_by_priority, [100, 0, 0, 0, 0]);
}

#[test]
fn a_generator_that_was_late_or_sent_nothing_is_not_believed() {
    let lag = |count, p99| Percentiles { count, p99, ..Percentiles::default() };
    assert!(reasons(&lag(9, Some(50.0)), 50.0).is_empty());
    assert!(reasons(&lag(9, Some(51.0)), 50.0)[0].contains("51 ms late"));
    assert_eq!(reasons(&lag(0, None), 50.0), ["no request was sent"]);
}

//! What is drawn.

use super::{super::time::Phase, *};

fn time(columns: usize) -> Time {
    let phase = |name: &str, from_s, to_s| Phase { name: name.into(), from_s, to_s, is_peak: name == "spike" };
    Time {
        to_s: columns as f64,
        columns: (0..columns).map(|second| second as f64).collect(),
        column_s: 1.0,
        phases: vec![phase("calm", 0.0, 1.0), phase("spike", 1.0, columns as f64)],
    }
}

fn chart(draw: Draw, lines: &[&[Option<f64>]]) -> Chart {
    let line = |(index, values): (usize, &&[Option<f64>])| Line {
        name: format!("line {index}"),
        colour: "blue",
        draw,
        values: values.to_vec(),
    };
    Chart {
        title: "Title".into(),
        about: String::new(),
        height: 100.0,
        scale: Scale::fixed(10.0, vec![0.0, 10.0]),
        shown: |value| format!("{value} units"),
        lines: lines.iter().enumerate().map(line).collect(),
        marks: Vec::new(),
    }
}

/// The paths of the data, in the order in which they are drawn.
fn paths(html: &str, class: &str) -> Vec<String> {
    let start = format!("<path class=\"{class} blue\" d=\"");
    html.split(&start).skip(1).map(|rest| rest.split('"').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_line_has_a_gap_where_data_is_missing_and_a_dot_where_it_stands_alone() {
    let values = [Some(0.0), Some(5.0), None, Some(10.0), None];
    let html = chart(Draw::Between, &[&values]).html(&time(5));
    assert_eq!(paths(&html, "line"), ["M100.0 100.0L300.0 50.0"]);
    assert_eq!(paths(&html, "dot"), ["M700.0 0.0h0"]);
}

#[test]
fn what_is_stacked_stands_on_what_is_below_it() {
    let html = chart(Draw::Stacked, &[&[Some(2.0), Some(4.0)], &[Some(3.0), None]]).html(&time(2));
    let paths = paths(&html, "area");
    assert_eq!(paths[0], "M0.0 80.0L500.0 80.0L500.0 60.0L1000.0 60.0L1000.0 100.0L500.0 100.0L500.0 100.0L0.0 100.0Z");
    assert_eq!(paths[1], "M0.0 50.0L500.0 50.0L500.0 60.0L1000.0 60.0L1000.0 60.0L500.0 60.0L500.0 80.0L0.0 80.0Z");
}

#[test]
fn every_column_says_its_moment_its_phase_and_its_values() {
    let html = chart(Draw::Between, &[&[Some(1.0), None]]).html(&time(2));
    assert!(html.contains("<title>0 s, calm\nline 0: 1 units</title>"), "{html}");
    assert!(html.contains("<title>1 s, spike\nline 0: no data</title>"), "{html}");
}

#[test]
fn names_in_the_legend_do_not_lie_on_each_other() {
    let same = [Some(10.0)];
    let chart = chart(Draw::Between, &[&same, &same, &same, &[Some(9.9)]]);
    let tops: Vec<_> = chart.legend().iter().map(|name| name.2).collect();
    assert!(tops.windows(2).all(|pair| pair[1] - pair[0] >= LEGEND_PX), "{tops:?}");
    assert!(tops.iter().all(|top| (0.0..=chart.height).contains(top)), "{tops:?}");
}

#[test]
fn a_long_run_has_a_bounded_number_of_places_to_point_at() {
    let values = vec![Some(1.0); 3600];
    let html = chart(Draw::Between, &[&values]).html(&time(3600));
    assert!(html.matches("<title>").count() <= COLUMNS);
}

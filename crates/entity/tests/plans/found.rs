//! What is wrong is found: plans and documents made up.

use super::{
    cases::Case,
    database::Engine,
    judge::Judge,
    plan::{Plan, sqlite_step},
};

fn case(method: &'static str) -> Case {
    Case { method, call: method, run: |_| Box::pin(async { Ok(()) }) }
}

/// What is said of a plan, without what was promised of all the methods that are not tried here.
fn said(engine: Engine, method: &'static str, plan: Plan) -> String {
    let mut judge = Judge::new(engine);
    judge.look_at("here", &case(method), &[plan]);
    let told = judge.findings().into_iter().filter(|finding| finding.contains(", on here: "));
    told.collect::<Vec<_>>().join("\n")
}

fn on_sqlite(method: &'static str, lines: &[&str]) -> String {
    let steps = lines.iter().filter_map(|line| sqlite_step(line)).collect();
    let lines = lines.iter().map(|line| (*line).to_owned()).collect();
    said(Engine::Sqlite, method, Plan { statement: "SELECT 1".to_owned(), lines, steps })
}

fn on_postgres(method: &'static str, plan: &str) -> String {
    let notice = format!("duration: 0.1 ms  plan:\n{{\"Query Text\": \"SELECT 1\", \"Plan\": {plan}}}");
    said(Engine::Postgres, method, Plan::of_postgres(&notice).unwrap())
}

#[test]
fn a_plan_of_sqlite_that_reads_too_much_is_found() {
    for (lines, found) in [
        (&["SEARCH rides USING INDEX ix_rides_passenger (shard=? AND passenger_id=? AND id<?)"][..], ""),
        (&["SCAN rides"], "all of rides is read; the document says ix_rides_passenger"),
        (&["SCAN rides USING INDEX ix_rides_passenger"], "too much of ix_rides_passenger of rides is read"),
        (&["SEARCH rides USING INDEX ix_rides_passenger (shard=?)"], "too much of ix_rides_passenger"),
        (
            &["SEARCH rides USING INDEX ix_rides_passenger (ANY(shard) AND passenger_id=?)"],
            "too much of ix_rides_passenger",
        ),
        (
            &["SEARCH rides USING INDEX sqlite_autoindex_rides_1 (shard=? AND id<?)"],
            "PK of rides is used; the document says",
        ),
        (&["SEARCH rides USING AUTOMATIC COVERING INDEX (id=?)"], "all of rides"),
        (&["SEARCH rides USING INDEX ix_new (shard=? AND id<?)"], "ix_new is in no document"),
        (
            &[
                "SEARCH rides USING INDEX ix_rides_passenger (shard=? AND passenger_id=?)",
                "USE TEMP B-TREE FOR ORDER BY",
            ],
            "rows are put in order",
        ),
        (&["GUESS rides"], "nobody knows what GUESS rides is"),
    ] {
        let said = on_sqlite("page_owned", lines);
        assert_eq!(said.is_empty(), found.is_empty(), "{lines:?}: {said}");
        assert!(said.contains(found), "{lines:?}: {said}");
    }
    // An index of open rides may be read as a whole.
    assert_eq!(on_sqlite("put_deadlines_right", &["SCAN rides USING INDEX ix_rides_due"]), "");
}

#[test]
fn a_plan_of_postgresql_that_reads_too_much_is_found() {
    let passenger = r#"{"Node Type": "Index Scan", "Index Name": "ix_rides_passenger", "Index Cond": "((shard = $1) AND (passenger_id = $2))"}"#;
    for (plan, found) in [
        (passenger.to_owned(), ""),
        (format!(r#"{{"Node Type": "Limit", "Plans": [{passenger}]}}"#), ""),
        (format!(r#"{{"Node Type": "Sort", "Plans": [{passenger}]}}"#), "rows are put in order"),
        (
            r#"{"Node Type": "Limit", "Plans": [{"Node Type": "Seq Scan", "Relation Name": "rides"}]}"#.to_owned(),
            "all of rides is read",
        ),
        (
            passenger.replace("ix_rides_passenger", "pk_rides"),
            "PK of rides is used; the document says ix_rides_passenger",
        ),
        (passenger.replace("AND (passenger_id = $2)", ""), "too much of ix_rides_passenger of rides is read"),
        (r#"{"Node Type": "Tid Scan"}"#.to_owned(), "nobody knows what Tid Scan is"),
        (
            r#"{"Node Type": "ModifyTable", "Conflict Arbiter Indexes": ["uq_rides_quote"]}"#.to_owned(),
            "uq_rides_quote of rides is used; the document says ix_rides_passenger",
        ),
    ] {
        let said = on_postgres("page_owned", &plan);
        assert_eq!(said.is_empty(), found.is_empty(), "{plan}: {said}");
        assert!(said.contains(found), "{plan}: {said}");
    }
}

#[test]
fn a_reference_that_is_held_by_reading_a_table_is_found() {
    let asked = |node: &str| {
        let report =
            format!(r#"{{"Query Text": "SELECT 1 FROM ONLY \"public\".\"rides\" x WHERE …", "Plan": {node}}}"#);
        said(Engine::Postgres, "purge_unused", Plan::of_postgres(&format!("plan:\n{report}")).unwrap())
    };
    let by_key =
        r#"{"Node Type": "Index Scan", "Index Name": "pk_rides", "Index Cond": "((shard = $1) AND (id = $2))"}"#;
    assert_eq!(asked(by_key), "", "the document names no methods for it");
    let said = asked(r#"{"Node Type": "Seq Scan", "Relation Name": "rides"}"#);
    assert!(said.contains("all of rides is read to hold a reference"), "{said}");
}

#[test]
fn what_the_document_promises_and_nobody_tries_is_found() {
    let nothing_tried = Judge::new(Engine::Postgres).findings();
    let promised = "rides: ix_rides_passenger serves `page_owned`, the document says, but no call of it is tried";
    assert!(nothing_tried.iter().any(|finding| finding == promised), "{nothing_tried:?}");

    let mut judge = Judge::new(Engine::Postgres);
    judge.look_at("here", &case("page_owned"), &[]);
    let asked_nothing = judge.findings();
    assert!(asked_nothing.iter().any(|finding| finding == "page_owned asks nothing on here"), "{asked_nothing:?}");
    let promised = "rides: ix_rides_passenger serves `page_owned`, the document says, but no call of it asks rides";
    assert!(asked_nothing.iter().any(|finding| finding == promised), "{asked_nothing:?}");
}

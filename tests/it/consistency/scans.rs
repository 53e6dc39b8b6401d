//! Scans of everything, over HTTP and from a terminal.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{gateways, sql};
use crate::{
    databases::THREE,
    harness::{Answer, Folder, Gateway, eventually, has_three_servers, run_to_exit, run_to_exit_in, text},
};

const SCANS: &str = "/internal/v1/consistency/scans";
/// Nobody waits for anybody.
const AT_ONCE: [(&str, &str); 2] = [("consistency.share", "1"), ("consistency.grace_ms", "50")];

async fn begin(gateway: &Gateway) -> Answer {
    gateway.internal().post(SCANS, &json!({})).send().await
}

/// A scan from its beginning to its end.
async fn scan(gateway: &Gateway) -> Value {
    let begun = begin(gateway).await;
    let scan = begun.expect(202);
    let place = format!("{SCANS}/{}", text(&scan["id"]));
    assert_eq!(begun.header("location"), Some(place.as_str()));
    finished(gateway, &place).await
}

async fn finished(gateway: &Gateway, place: &str) -> Value {
    eventually("the scan comes to its end", async || {
        let scan = gateway.internal().get(place).send().await.expect(200);
        (scan["state"] == "finished").then_some(scan)
    })
    .await
}

async fn metric(gateway: &Gateway, series: &str) -> Option<String> {
    let metrics = gateway.internal().get("/metrics").send().await;
    metrics.body.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ').map(str::to_owned))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_finds_what_was_lost_and_what_is_false_and_its_repair_puts_it_right() {
    for (gateway, dsns) in gateways(&AT_ONCE).await {
        let passenger = gateway.passenger().await;
        let ride = text(&gateway.driver("ana").ride_at(&passenger, "completed").await["id"]);
        let clean = scan(&gateway).await;
        let none = json!({ "missing_index": 0, "stale_index": 0, "in_doubt": 0 });
        assert_eq!((&clean["mismatches"], &clean["acceptances"]), (&none, &json!(1)), "{clean}");
        assert_eq!((&clean["progress"], &clean["findings"]), (&json!(1.0), &json!([])), "{clean}");

        sql(&dsns, "DELETE FROM driver_rides").await;
        let false_row =
            "INSERT INTO driver_rides (shard, driver_id, ride_id) SELECT DISTINCT shard, 'bob', 7 FROM rides";
        sql(&dsns, false_row).await;
        let found = scan(&gateway).await;
        assert_eq!(found["mismatches"], json!({ "missing_index": 1, "stale_index": 1, "in_doubt": 0 }), "{found}");
        let findings = found["findings"].as_array().unwrap();
        let lost = findings.iter().find(|finding| finding["state"] == "missing_index").unwrap();
        assert_eq!(
            (&lost["ride_id"], &lost["driver_id"], &lost["repaired"]),
            (&json!(ride), &json!("ana"), &Value::Null)
        );
        eventually("the metrics tell it", async || {
            let one = Some("1".to_owned());
            let missing = metric(&gateway, r#"gateway_consistency_mismatches{kind="missing_index"}"#).await;
            (missing == one).then_some(())
        })
        .await;

        let place = format!("{SCANS}/{}", text(&found["id"]));
        let repair = async |query: &str| {
            gateway.internal().post(&format!("{place}/repair{query}"), &json!({})).send().await.expect(200)
        };
        let dry = repair("?dry_run=true").await;
        assert_eq!(
            (&dry["dry_run"], &dry["left"], &dry["next_cursor"]),
            (&json!(true), &json!(2), &Value::Null),
            "{dry}"
        );
        assert_eq!(scan(&gateway).await["mismatches"], found["mismatches"], "a dry run changes nothing");
        let done = repair("?dry_run=false").await;
        let made: BTreeSet<_> = done["rows"].as_array().unwrap().iter().map(|row| text(&row["repaired"])).collect();
        assert_eq!(
            (made, &done["left"]),
            (BTreeSet::from(["removed".to_owned(), "written".to_owned()]), &json!(0)),
            "{done}"
        );
        let again = repair("").await;
        assert_eq!((&again["rows"], &again["left"]), (&json!([]), &json!(0)), "{again}");
        assert_eq!(scan(&gateway).await["mismatches"], none);
        let repaired = gateway.internal().get(&place).send().await.expect(200);
        assert!(repaired["findings"].as_array().unwrap().iter().all(|finding| finding["repaired"] != Value::Null));
        assert_eq!(text(&gateway.driver("ana").rides().await["rides"][0]["id"]), ride);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_that_runs_is_the_only_one_and_goes_on_after_a_sigkill() {
    // So slow that it does not end before the kill.
    let slow = [("consistency.share", "0.01"), ("consistency.grace_ms", "0")];
    let mut gateway = Gateway::start_with(&slow).await;
    let passenger = gateway.passenger().await;
    gateway.driver("ana").ride_at(&passenger, "completed").await;
    let begun = begin(&gateway).await.expect(202);
    let place = format!("{SCANS}/{}", text(&begun["id"]));
    for _ in 0..2 {
        assert_eq!(begin(&gateway).await.expect(200)["id"], begun["id"]);
    }
    gateway.signal("KILL");
    gateway.exit().await;
    gateway.restart_with(&[("consistency.share", "1")]).await;
    let scan = finished(&gateway, &place).await;
    assert_eq!((&scan["acceptances"], &scan["index_rows"]), (&json!(1), &json!(1)), "{scan}");
    assert_eq!(begin(&gateway).await.status, 202, "and now another");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_fleet_drives_a_scan_has_nothing_to_tell() {
    let three = ("store.shards", THREE);
    let mut stores = vec![vec![], vec![three], vec![three, ("driver_index.strategy", "tcc")]];
    if has_three_servers() {
        stores.push(vec![("driver_index.strategy", "two_phase")]);
    }
    for store in stores {
        let fleet = [("sandbox.drivers", "20"), ("sandbox.time_scale", "2000")];
        let gateway = Gateway::start_with(&[&AT_ONCE[..], &fleet, &store].concat()).await;
        let passengers = [gateway.passenger().await, gateway.passenger().await, gateway.passenger().await];
        for _ in 0..2 {
            let rides = async {
                for passenger in &passengers {
                    let ride = text(&passenger.request_ride().await["id"]);
                    passenger.ride_with(&ride, "status", "completed").await;
                }
            };
            let (scan, ()) = tokio::join!(scan(&gateway), rides);
            assert_eq!(scan["mismatches"], json!({ "missing_index": 0, "stale_index": 0, "in_doubt": 0 }), "{scan}");
            assert_eq!(scan["findings"], json!([]));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_that_is_not_there_and_a_bad_question_are_told() {
    let gateway = Gateway::start().await;
    let internal = gateway.internal();
    internal.get(&format!("{SCANS}/7")).send().await.problem(404, "not-found");
    internal.post(&format!("{SCANS}/7/repair"), &json!({})).send().await.problem(404, "not-found");
    internal.post(&format!("{SCANS}/7/repair?dry_run=maybe"), &json!({})).send().await.blames("dry_run");
    internal.get(&format!("{SCANS}/7?cursor=x")).send().await.problem(400, "invalid-cursor");
    internal.get(&format!("{SCANS}/7?limit=0")).send().await.blames("limit");
    gateway.internal_without_token().post(SCANS, &json!({})).send().await.problem(401, "token-missing");
    let age = async || metric(&gateway, "gateway_consistency_scan_age_seconds").await.filter(|age| age != "0");
    assert_eq!(eventually("it is measured", age).await, "-1", "there has been none");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_terminal_ends_with_0_clean_1_mismatch_and_2_when_nobody_can_tell() {
    let mut gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    let ride = text(&gateway.driver("ana").ride_at(&passenger, "completed").await["id"]);
    super::is_settled(&gateway, &ride).await;
    let (dsns, folder) = (gateway.dsns(), Folder::new());
    let shards = dsns.join(",");
    let settings = [AT_ONCE[0], AT_ONCE[1], ("store.shards", shards.as_str())];
    let run =
        async |arguments: &[&str]| run_to_exit_in(&folder, &[&["consistency"], arguments].concat(), &settings).await;
    let (code, said) = run(&["check"]).await;
    assert!(
        code == 0 && said.contains("1 acceptances, 1 index rows") && said.contains("missing_index 0"),
        "{code} {said}"
    );

    // With nobody else there as well.
    gateway.stop().await;
    sql(&dsns, "DELETE FROM driver_rides").await;
    let (code, said) = run(&["check"]).await;
    let told = format!("missing_index: ride {ride}, driver ana");
    assert!(code == 1 && said.contains("missing_index 1") && said.contains(&told), "{code} {said}");
    let scan = said.split("scan ").nth(1).and_then(|rest| rest.split(':').next()).expect("its id").to_owned();
    let (code, said) = run(&["repair", "--dry-run", "--scan", &scan]).await;
    assert!(code == 1 && said.contains("would be written"), "{code} {said}");
    let (code, said) = run(&["repair"]).await;
    assert!(code == 0 && said.contains("1 rows repaired, 0 do not agree"), "{code} {said}");
    assert_eq!(run(&["check"]).await.0, 0);

    let (code, said) = run(&["repair", "--scan", "8"]).await;
    assert!(code == 2 && said.contains("no scan 8"), "{code} {said}");
    let nowhere = [("store.shards", "postgres://nobody:secret@127.0.0.1:1/rides"), ("store.acquire_timeout_s", "1")];
    let (code, said) = run_to_exit(&["consistency", "check"], &nowhere).await;
    assert!(code == 2 && said.contains("database 1") && !said.contains("secret"), "{code} {said}");
    assert_eq!(run_to_exit(&["consistency", "check"], &[("consistency.share", "2")]).await.0, 2);
}

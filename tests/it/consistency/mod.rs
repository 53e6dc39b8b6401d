//! Whether the driver index agrees with the rides: asked, repaired, and shown.

mod scans;

use sea_orm::{ConnectionTrait, Database};
use serde_json::{Value, json};

use crate::{
    databases::THREE,
    harness::{Gateway, eventually, text},
};

/// Runs a statement behind the gateway's back, in every database that it has.
async fn sql(dsns: &[String], statement: &str) {
    for dsn in dsns {
        let database = Database::connect(dsn).await.unwrap();
        database.execute_unprepared(statement).await.unwrap();
        database.close().await.unwrap();
    }
}

/// A gateway on the databases of this run, and one on three files.
async fn gateways(settings: &[(&str, &str)]) -> [(Gateway, Vec<String>); 2] {
    let usual = Gateway::start_with(settings).await;
    let three = Gateway::start_with(&[settings, &[("store.shards", THREE)]].concat()).await;
    let files = THREE
        .split(',')
        .map(|dsn| format!("sqlite://{}", three.file(dsn.strip_prefix("sqlite://").expect("a file")).display()));
    let (dsns, files) = (usual.dsns(), files.collect());
    [(usual, dsns), (three, files)]
}

async fn ask(gateway: &Gateway, whom: &str) -> Value {
    gateway.internal().get(&format!("/internal/v1/consistency/{whom}")).send().await.expect(200)
}

async fn repair(gateway: &Gateway, whom: &str) -> Value {
    let path = format!("/internal/v1/consistency/{whom}");
    gateway.internal().post(&path, &json!({})).send().await.expect(200)
}

/// What is told of a ride when its row is no longer on its way.
async fn is_settled(gateway: &Gateway, ride: &str) -> Value {
    eventually("the row is written", async || {
        Some(ask(gateway, &format!("rides/{ride}")).await).filter(|found| found["state"] != "in_flight")
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_and_a_false_row_are_told_with_their_evidence_and_put_right() {
    for (gateway, dsns) in gateways(&[]).await {
        let passenger = gateway.passenger().await;
        let driver = gateway.driver("ana");
        let ride = text(&driver.ride_at(&passenger, "completed").await["id"]);
        let (of_ride, of_driver) = (format!("rides/{ride}"), "drivers/ana".to_owned());
        let found = is_settled(&gateway, &ride).await;
        assert_eq!((&found["state"], &found["ride_status"]), (&json!("consistent"), &json!("completed")), "{found}");
        let evidence = &found["evidence"][0];
        assert_eq!((&evidence["driver_id"], &evidence["indexed"]), (&json!("ana"), &json!(true)), "{found}");
        assert_eq!(evidence["accepted"]["seq"], 3, "requested, authorised, accepted: {found}");

        sql(&dsns, "DELETE FROM driver_rides").await;
        for whom in [&of_ride, &of_driver] {
            let found = ask(&gateway, whom).await;
            assert_eq!(found["state"], "missing_index", "{found}");
            assert_eq!(found["evidence"][0]["indexed"], false, "{found}");
        }
        let dry = repair(&gateway, &format!("{of_ride}/repair?dry_run=true")).await;
        assert_eq!((&dry["dry_run"], &dry["left"]), (&json!(true), &json!(1)), "{dry}");
        assert_eq!(ask(&gateway, &of_ride).await["state"], "missing_index");
        let done = repair(&gateway, &format!("{of_driver}/repair")).await;
        assert_eq!((&done["rows"][0]["repaired"], &done["left"]), (&json!("written"), &json!(0)), "{done}");
        assert_eq!(ask(&gateway, &of_driver).await["state"], "consistent");
        assert_eq!(text(&driver.rides().await["rides"][0]["id"]), ride);
        assert!(gateway.log().contains("the driver index was repaired"));

        // Rows of somebody who never came, none where a reader would look for it.
        let false_rows = format!(
            "INSERT INTO driver_rides (shard, driver_id, ride_id) SELECT DISTINCT shard, 'bob', {ride} FROM rides"
        );
        sql(&dsns, &false_rows).await;
        let found = ask(&gateway, &of_ride).await;
        assert_eq!(found["state"], "stale_index", "{found}");
        let bob = found["evidence"].as_array().unwrap().iter().find(|e| e["driver_id"] == "bob").unwrap();
        assert_eq!((&bob["accepted"], &bob["indexed"]), (&Value::Null, &json!(true)), "{found}");
        let done = repair(&gateway, &format!("{of_ride}/repair")).await;
        assert_eq!((&done["rows"][0]["repaired"], &done["left"]), (&json!("removed"), &json!(0)), "{done}");
        assert_eq!(ask(&gateway, &of_ride).await["state"], "consistent");
        let again = repair(&gateway, &format!("{of_ride}/repair")).await;
        assert_eq!(again["rows"], json!([]), "{again}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_knows_is_not_found_and_a_bad_question_is_told_what_is_allowed() {
    let gateway = Gateway::start().await;
    let internal = gateway.internal();
    for path in ["rides/1", "rides/x"] {
        internal.get(&format!("/internal/v1/consistency/{path}")).send().await.problem(404, "not-found");
    }
    let nobody = ask(&gateway, "drivers/nobody").await;
    assert_eq!((&nobody["state"], &nobody["evidence"]), (&json!("consistent"), &json!([])));
    let asked =
        |query: &str| internal.post(&format!("/internal/v1/consistency/drivers/ana/repair?{query}"), &json!({}));
    asked("dry_run=yes").send().await.blames("dry_run");
    asked("dry=true").send().await.blames("dry");
    gateway
        .internal_without_token()
        .get("/internal/v1/consistency/drivers/ana")
        .send()
        .await
        .problem(401, "token-missing");
}

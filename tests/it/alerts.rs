//! The alert rules in `deploy/alerts`.

use std::{collections::BTreeSet, fs, path::Path};

use crate::harness::{Gateway, eventually};

/// The series that a text names.
fn series(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("gateway_")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn alert_rules_speak_of_series_that_there_are() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/alerts");
    let files = fs::read_dir(folder).unwrap().map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
    let rules: Vec<String> = files.collect();
    assert!(rules.iter().any(|rules| rules.contains("gateway_driver_index_oldest_seconds")));
    let gateway = Gateway::start().await;
    gateway.passenger().await;
    eventually("every series of a rule is there", async || {
        let metrics = gateway.internal().get("/metrics").send().await.body;
        // Of a histogram only its parts are.
        let there = series(&metrics);
        let is_there = |name: &&str| there.contains(name) || there.contains(&*format!("{name}_count"));
        rules.iter().all(|rules| series(rules).iter().all(is_there)).then_some(())
    })
    .await;
}

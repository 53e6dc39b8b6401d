//! The commands of the binary beside `serve`.

use crate::harness::{Folder, Gateway, run_to_exit, run_to_exit_in};

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_can_be_checked_without_serving() {
    let (code, output) = run_to_exit(&["config", "check"], &[]).await;
    assert_eq!(code, 0, "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_of_the_api_can_be_printed() {
    let (code, output) = run_to_exit(&["openapi"], &[]).await;
    assert_eq!(code, 0, "{output}");
    let start = output.find('{').expect("JSON");
    let printed: serde_json::Value = serde_json::from_str(&output[start..]).expect("JSON and nothing after it");
    let gateway = Gateway::start().await;
    assert_eq!(gateway.public().get("/openapi.json").send().await.expect(200), printed);
}

#[tokio::test(flavor = "multi_thread")]
async fn migrating_twice_is_harmless() {
    let folder = Folder::new();
    for _ in 0..2 {
        let (code, output) = run_to_exit_in(&folder, &["migrate"], &[]).await;
        assert_eq!(code, 0, "{output}");
    }
    assert!(folder.path().join("data/gateway.db").exists());
}

//! The conformance walk (`tests/conformance`) against a gateway of our own, on its defaults.

use crate::{
    gateway::{Gateway, last_lines},
    program::{Program, gateway_binary},
    python,
    step::Step,
};

/// Walks the contract of the debug build.
pub(crate) fn step() -> Step {
    Step::new("conformance: walk the contract of a private gateway", async { walk().await.into() })
}

async fn walk() -> Result<(), String> {
    python::check().await?;
    let mut gateway = Gateway::start(&gateway_binary("debug")?, &[]).await?;
    let (url, internal) = (gateway.url(), gateway.internal_url());
    let walk = ["tests/conformance/walk.py", &url, "--internal", &internal];
    let walked = Program::new("python3").arguments(walk).run().await;
    let stopped = gateway.stop().await;
    walked.and(stopped).map_err(|why| format!("{why}\nthe gateway's last lines:\n{}", last_lines(&gateway.log(), 40)))
}

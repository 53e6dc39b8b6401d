//! How long a start takes, from the start of the process to the first 200 of `/health/ready`.

use crate::{
    gateway::Gateway,
    main_flow::Places,
    replay,
    report::{Report, Row, Spread},
};

const GOAL_MS: f64 = 300.0;

/// Starts on fresh folders and on one with data.
///
/// # Errors
/// In words.
pub(crate) async fn run(places: &Places, quick: bool, report: &mut Report<Row>) -> Result<(), String> {
    let (times, rides) = if quick { (2, 50) } else { (15, 2000) };
    let mut fresh = Vec::new();
    for number in 0..times {
        fresh.push(start(places, &format!("fresh-{number}")).await?);
    }
    add(report, "Ready after a start, fresh folder".to_owned(), fresh);

    let gateway = Gateway::start(&places.gateway, &places.folder("existing"), &[]).await?;
    replay::drive(places, &gateway, rides, 1).await?;
    gateway.stop().await?;
    let mut existing = Vec::new();
    for _ in 0..times {
        existing.push(start(places, "existing").await?);
    }
    add(report, format!("Ready after a start, folder with {rides} rides"), existing);
    Ok(())
}

/// One start and stop; milliseconds until ready.
async fn start(places: &Places, folder: &str) -> Result<f64, String> {
    let gateway = Gateway::start(&places.gateway, &places.folder(folder), &[]).await?;
    let ready_after = gateway.ready_after.as_secs_f64() * 1000.0;
    gateway.stop().await?;
    Ok(ready_after)
}

fn add(report: &mut Report<Row>, what: String, ms: Vec<f64>) {
    let (starts, spread) = (ms.len(), Spread::of(ms));
    report.add(Row {
        what: format!("{what}, ms, {starts} starts"),
        goal: "≤ 300".to_owned(),
        figure: format!("median {:.0}, max {:.0}", spread.median, spread.most),
        peer: String::new(),
        // The slowest start is judged.
        judged: Some((spread.most, GOAL_MS)),
    });
}

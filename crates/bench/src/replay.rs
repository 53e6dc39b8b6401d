//! Whole rides, from sign-in to receipt and rating, with the simulated fleet: how many for a second of processor time, and what
//! memory they leave.

use std::{process::Stdio, time::Duration};

use tokio::process::Command;

use crate::{
    gateway::Gateway,
    main_flow::Places,
    process::Memory,
    report::{Report, Row, Spread},
};

/// Time for what runs every ten seconds (`memory-sweep`) to run twice.
const QUIET: Duration = Duration::from_secs(21);
const QUIET_IN_A_HURRY: Duration = Duration::from_secs(3);
const IDLE_GOAL_KB: f64 = 40.0 * 1024.0;
const GROWTH_GOAL: f64 = 1.25;

/// Drives rides in batches through one gateway and looks at its memory in between.
///
/// # Errors
/// In words.
pub(crate) async fn run(places: &Places, quick: bool, report: &mut Report<Row>) -> Result<(), String> {
    let (batch, batches, quiet) = if quick { (50, 2, QUIET_IN_A_HURRY) } else { (2000, 10, QUIET) };
    let gateway = Gateway::start(&places.gateway, &places.folder("rides"), &[]).await?;
    tokio::time::sleep(quiet).await;
    let idle = gateway.process.memory()?;
    let (mut per_cpu_second, mut memory) = (Vec::new(), Vec::new());
    for number in 1..=batches {
        let before = gateway.process.cpu()?;
        drive(places, &gateway, batch, number).await?;
        let used = gateway.process.cpu()? - before;
        per_cpu_second.push(f64::from(batch) / used.as_secs_f64());
        tokio::time::sleep(quiet).await;
        memory.push(gateway.process.memory()?);
        eprintln!("bench: {} rides: {}", batch * number, text(memory[memory.len() - 1]));
    }
    gateway.stop().await?;

    let (first, last) = (memory[0], memory[memory.len() - 1]);
    let spread = Spread::of(per_cpu_second);
    report.add(Row {
        what: format!("Full rides per CPU second of the server, {batches} batches of {batch}"),
        goal: String::new(),
        figure: spread.text(1),
        peer: String::new(),
        judged: None,
    });
    report.add(Row {
        what: "Resident memory, idle".to_owned(),
        goal: "≤ 40 MB".to_owned(),
        figure: text(idle),
        peer: String::new(),
        judged: Some((idle.rss_kb as f64, IDLE_GOAL_KB)),
    });
    report.add(Row {
        what: format!("Resident memory after {} rides, against after {batch}", batch * batches),
        goal: "≤ 1.25×".to_owned(),
        figure: format!("{:.2}×: {}, was {}", grown(first, last), text(last), text(first)),
        peer: String::new(),
        judged: Some((grown(first, last), GROWTH_GOAL)),
    });
    let course: Vec<String> = memory.iter().map(|m| format!("{:.1}", mb(m.rss_kb))).collect();
    report.note(format!("Resident memory after each batch of {batch} rides, MB: {}.", course.join(", ")));
    Ok(())
}

/// `rides` rides through the gateway, as `loadtest replay` drives them; fails when a promise was broken.
///
/// # Errors
/// In words.
pub(crate) async fn drive(places: &Places, gateway: &Gateway, rides: u32, seed: u32) -> Result<(), String> {
    let mut command = Command::new(&places.loadtest);
    command.args(["replay", "--url", &gateway.url(), "--count", &rides.to_string(), "--seed", &seed.to_string()]);
    let output =
        command.stdin(Stdio::null()).kill_on_drop(true).output().await.map_err(|e| format!("loadtest: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Err(format!("loadtest ended with {}: {said}\n{told}", output.status))
}

fn grown(first: Memory, last: Memory) -> f64 {
    last.rss_kb as f64 / first.rss_kb as f64
}

fn text(memory: Memory) -> String {
    format!("{:.1} MB (Pss {:.1})", mb(memory.rss_kb), mb(memory.pss_kb))
}

fn mb(kb: u64) -> f64 {
    kb as f64 / 1024.0
}

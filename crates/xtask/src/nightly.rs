//! `cargo xtask nightly`.

use std::{cell::Cell, process::ExitCode, rc::Rc};

use clap::Args;

use crate::{
    deny, fuzz,
    program::{Program, built, gateway_binary},
    step::{self, Outcome, Step},
};

/// Options of `cargo xtask nightly`.
#[derive(Args)]
pub(crate) struct Options {
    /// Fuzz cases at least.
    #[arg(long, default_value_t = 50_000)]
    cases: u32,
    /// Seed of the fuzz run; at random if not said. It is printed.
    #[arg(long)]
    seed: Option<u32>,
    /// How often the gateway is killed while it serves a replay.
    #[arg(long, default_value_t = 50)]
    kills: u32,
    #[command(flatten)]
    audit: deny::AuditOptions,
}

/// Runs every step; the exit code is 0 when each held.
pub(crate) async fn run(options: Options) -> ExitCode {
    let fuzz = fuzz::Options { cases: options.cases, seed: options.seed, workers: 2, profile: "release" };
    // What an earlier build left must not be tested in place of what does not build.
    let built = Rc::new(Cell::new(false));
    let not_built = "the release build failed";
    let steps = vec![
        release_build(built.clone()),
        on_postgres(),
        fuzz::step(fuzz).only_if(&built, not_built),
        replay(options.kills).only_if(&built, not_built),
        replay_on_servers("outbox").only_if(&built, not_built),
        replay_on_servers("tcc").only_if(&built, not_built),
        replay_on_servers("two_phase").only_if(&built, not_built),
        model("limits", &["--test", "model"]),
        model("gate", &["--lib", "gate::model"]),
        bench("main-flow").only_if(&built, not_built),
        deny::dependencies(),
        deny::advisories(&options.audit),
    ];
    step::every(steps).await
}

fn release_build(built: Rc<Cell<bool>>) -> Step {
    let build = ["build", "--release", "--workspace"];
    Step::new(format!("release build: cargo {}", build.join(" ")), async move {
        let outcome = Outcome::from(Program::cargo().arguments(build).run().await);
        built.set(outcome == Outcome::Ok);
        outcome
    })
}

/// The end-to-end tests once more, where data lies in several databases; every statement has to name its shard.
fn on_postgres() -> Step {
    let tests = ["xtask", "test", "--store", "postgres3", "--without-python"];
    Step::cargo("the tests on three PostgreSQL servers", &tests)
}

/// Trips of a real day while the gateway is killed again and again: nothing acknowledged may be lost or doubled.
fn replay(kills: u32) -> Step {
    Step::new(format!("replay of a real day with {kills} kills"), async move {
        run_replay(&["--kills", &kills.to_string()]).await
    })
}

/// The same on three PostgreSQL servers, while a gateway, a second one and a server are killed: each way of writing the driver index.
fn replay_on_servers(strategy: &'static str) -> Step {
    Step::new(
        format!("replay on three PostgreSQL servers, {strategy}, with kills of gateways and of a server"),
        async move {
            let kills = ["--kill-at", "0.2", "--kill-at", "0.4:relay", "--kill-at", "0.6:postgres"];
            run_replay(&[&["--postgres", "3", "--strategy", strategy], &kills[..]].concat()).await
        },
    )
}

async fn run_replay(arguments: &[&str]) -> Outcome {
    let programs = built("release", "loadtest").and_then(|tool| Ok((tool, gateway_binary("release")?)));
    let (tool, server) = match programs {
        Ok(programs) => programs,
        Err(why) => return Outcome::CouldNotRun(why),
    };
    let replay = Program::new(tool).arguments(["replay"]).arguments(arguments);
    replay.arguments(["--server".as_ref(), server.as_os_str()]).run().await.into()
}

/// Every order in which threads may meet in the limits' table or in the gate. A folder of its own: with the checker's locks
/// nothing else of the build would fit.
fn model(of: &str, tests: &[&str]) -> Step {
    let model = ["test", "-p", "traffic", "--features", "model", "--target-dir", "target/model"];
    Step::cargo(&format!("model check of the {of}"), &[&model, tests].concat())
}

/// A benchmark in short: it judges nothing, but shows that it still measures what it says.
fn bench(name: &'static str) -> Step {
    Step::new(format!("bench {name} --quick"), async move {
        match built("release", "bench") {
            Ok(bench) => Program::new(bench).arguments([name, "--quick"]).run().await.into(),
            Err(why) => Outcome::CouldNotRun(why),
        }
    })
}

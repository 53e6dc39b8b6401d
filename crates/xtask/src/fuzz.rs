//! The fuzz run: schemathesis makes requests from the OpenAPI document of a gateway of our own, `tests/fuzz` casts them
//! with real people and real ids, every check of the tool judges the answers.

use std::{
    fs,
    hash::{BuildHasher, Hasher, RandomState},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;

use crate::{
    gateway::{Gateway, last_lines},
    program::{Program, gateway_binary, root, target, text},
    python,
    report::{Round, Summary},
    step::{self, Step},
};

/// Cases of the run inside `cargo xtask test`.
const CASES_IN_TESTS: u32 = 2_000;
/// Seed of the run inside `cargo xtask test`: the same requests each time.
const SEED_IN_TESTS: u32 = 1;
/// Cases that the document alone gives, whatever the number of examples (the coverage phase, about 700, less a margin).
const COVERAGE_CASES: u32 = 600;
/// Cases for each example asked for (19 operations, less a margin: some have only so many different requests).
const CASES_AN_EXAMPLE: u32 = 15;
/// Examples of an operation in one round. More cases take more rounds, so that the tool's memory stays bounded.
const EXAMPLES: std::ops::RangeInclusive<u32> = 5..=300;
/// A round that takes longer hangs.
const ROUND_WITHIN: Duration = Duration::from_secs(1_800);

/// Everything else is at its default. One client asks faster than any person, so the limits are out of its way.
const SETTINGS: &[(&str, &str)] =
    &[("GATEWAY__TRAFFIC__POLICIES", concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/no-limits.toml"))];

/// Options of `cargo xtask fuzz`.
#[derive(Args, Clone)]
pub(crate) struct Options {
    /// Cases at least.
    #[arg(long, default_value_t = CASES_IN_TESTS)]
    pub(crate) cases: u32,
    /// The same seed makes the same requests. At random if not said.
    #[arg(long)]
    pub(crate) seed: Option<u32>,
    /// Requests at a time. With more than one their order is not the same each time.
    #[arg(long, default_value_t = 1)]
    pub(crate) workers: u8,
    /// The profile whose gateway is asked; it must be built.
    #[arg(skip = "debug")]
    pub(crate) profile: &'static str,
}

impl Options {
    /// Those of the run inside `cargo xtask test`.
    pub(crate) fn in_tests() -> Self {
        Self { cases: CASES_IN_TESTS, seed: Some(SEED_IN_TESTS), workers: 1, profile: "debug" }
    }
}

/// A fuzz run of its own gateway.
pub(crate) fn step(options: Options) -> Step {
    let seed = options.seed.unwrap_or_else(random);
    let title = format!("fuzz: at least {} cases from the OpenAPI document, --seed {seed}", options.cases);
    Step::new(title, async move { fuzz(&options, seed).await.into() })
}

async fn fuzz(options: &Options, seed: u32) -> Result<(), String> {
    python::check().await?;
    let tool = python::environment().await?.join("schemathesis");
    let binary = gateway_binary(options.profile)?;
    let longest_answer = acquire_timeout_s(&binary).await?;
    let folder = target()?.join("fuzz").join("last-run");
    // What an earlier run left would be taken for ours.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut gateway = Gateway::start(&binary, SETTINGS).await?;
    let run = Run { tool, url: gateway.url(), folder: folder.clone(), longest_answer, workers: options.workers };
    let mut all = run.rounds(options.cases, seed).await;
    let stopped = gateway.stop().await;
    let errors = errors_of(&gateway.log());
    let result = match (&mut all, stopped, errors.is_empty()) {
        (Err(why), _, _) => Err(why.clone()),
        (Ok(_), Err(why), _) => Err(why),
        (Ok(_), Ok(()), false) => Err(format!("the gateway logged errors:\n{errors}")),
        (Ok(_), Ok(()), true) => Ok(()),
    };
    result.map_err(|why| {
        let log = folder.join("gateway.log");
        let kept = fs::write(&log, gateway.log()).map_or_else(|e| e.to_string(), |()| log.display().to_string());
        format!("{why}\nthe gateway's log: {kept}")
    })
}

/// What every round has in common.
struct Run {
    tool: PathBuf,
    url: String,
    folder: PathBuf,
    /// Seconds.
    longest_answer: u32,
    workers: u8,
}

impl Run {
    /// Rounds until there were enough cases; then everything that was answered is judged as one.
    async fn rounds(&self, cases: u32, seed: u32) -> Result<(), String> {
        let (begun, mut summary) = (step::now(), Summary::default());
        for number in 0.. {
            let missing = cases.saturating_sub(summary.cases);
            if missing == 0 {
                break;
            }
            let round = self.round(number, missing, seed.wrapping_add(number)).await?;
            if round.cases() == 0 {
                return Err("a round made no case".to_owned());
            }
            eprintln!("xtask: round {}: {} cases", number + 1, round.cases());
            summary.add(round);
        }
        eprint!("{}", summary.table());
        eprintln!("xtask: fuzz: {}, in {:.0?}", summary.line(), step::since(begun));
        summary.judge()
    }

    async fn round(&self, number: u32, missing: u32, seed: u32) -> Result<Round, String> {
        let name = format!("round-{}", number + 1);
        let file = |ending: &str| self.folder.join(format!("{name}.{ending}"));
        let (examples, limit) = (examples_for(number, missing).to_string(), self.longest_answer.to_string());
        let (seed, workers) = (seed.to_string(), self.workers.to_string());
        // What the document alone gives is the same each time: once is enough.
        let phases = if number == 0 { "examples,coverage,fuzzing,stateful" } else { "fuzzing,stateful" };
        let tests = root().join("tests/fuzz");
        let document = format!("{}/openapi.json", self.url);
        let tool = Program::new(&self.tool)
            .folder(&self.folder)
            .variable("SCHEMATHESIS_HOOKS", tests.join("hooks.py"))
            .variable("FUZZ_URL", &self.url)
            .variable("FUZZ_SEED", &seed)
            .variable("FUZZ_TALLY", file("tally.json"))
            .arguments(["--config-file".as_ref(), tests.join("schemathesis.toml").as_os_str()])
            .arguments(["run", &document, "--checks", "all", "--max-response-time", &limit, "--phases", phases])
            .arguments(["--max-examples", &examples, "--seed", &seed, "--workers", &workers])
            .arguments(["--continue-on-failure", "--no-color", "--report", "json", "--report-json-path"])
            .arguments([file("report.json")]);
        let output = tokio::time::timeout(ROUND_WITHIN, tool.output()).await;
        let output = output.map_err(|_| format!("{name} was not over after {} s", ROUND_WITHIN.as_secs()))??;
        let said = text(&output);
        fs::write(file("txt"), &said).map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(format!("seed {seed}:\n{}", findings(&said)));
        }
        Round::read(&file("report.json"), &file("tally.json"))
    }
}

/// Examples to ask of each operation so that the round makes so many cases.
fn examples_for(number: u32, missing: u32) -> u32 {
    let from_document = if number == 0 { COVERAGE_CASES } else { 0 };
    let examples = missing.saturating_sub(from_document).div_ceil(CASES_AN_EXAMPLE);
    examples.clamp(*EXAMPLES.start(), *EXAMPLES.end())
}

/// What the tool found, with the curl commands that show it again; all it said when it found nothing and yet failed.
fn findings(said: &str) -> &str {
    let begin = ["= FAILURES =", "= ERRORS ="].iter().filter_map(|title| said.find(title)).min();
    begin.map_or(said, |at| &said[said[..at].rfind('\n').map_or(0, |line| line + 1)..])
}

/// Seconds that a request may wait for the database. With a client or two nobody has to wait for it, so that even the
/// slowest answer comes sooner: the first of the server's time-outs that would cut one off.
async fn acquire_timeout_s(binary: &Path) -> Result<u32, String> {
    let output = Program::new(binary).arguments(["config", "check"]).output().await?;
    let settings = text(&output);
    number_of(&settings, "acquire_timeout_s").ok_or_else(|| format!("no acquire_timeout_s in\n{settings}"))
}

fn number_of(settings: &str, key: &str) -> Option<u32> {
    let line = settings.lines().find_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix('='))?;
    line.split('#').next()?.trim().parse().ok()
}

/// Lines of the log that tell of a fault of ours: nothing that a client sends may cause one.
fn errors_of(log: &str) -> String {
    let bad: Vec<_> = log.lines().filter(|line| line.contains(" ERROR ") || line.contains("panicked")).collect();
    last_lines(&bad.join("\n"), 20)
}

/// The standard library's own source of randomness.
fn random() -> u32 {
    u32::try_from(RandomState::new().build_hasher().finish() >> 32).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_as_large_as_needed_and_bounded() {
        assert_eq!(examples_for(0, 2_000), 94);
        assert_eq!(examples_for(0, 10), 5);
        assert_eq!(examples_for(0, 50_000), 300);
        assert_eq!(examples_for(1, 150), 10);
    }

    #[test]
    fn what_was_found_is_shown_without_what_went_before() {
        let said = "loaded\n  ok\n===== FAILURES =====\ncurl\n";
        assert_eq!(findings(said), "===== FAILURES =====\ncurl\n");
        assert_eq!(findings("Traceback"), "Traceback");
        assert_eq!(findings("=== ERRORS ===\na\n=== FAILURES ===\nb"), "=== ERRORS ===\na\n=== FAILURES ===\nb");
    }

    #[test]
    fn the_bound_is_read_from_the_settings_in_effect() {
        let settings = "[store]\nacquire_timeout_s = 5  # file config/default.toml\nreaders = 4\n";
        assert_eq!(number_of(settings, "acquire_timeout_s"), Some(5));
        assert_eq!(number_of(settings, "readers"), Some(4));
        assert_eq!(number_of(settings, "writers"), None);
    }

    #[test]
    fn errors_of_the_log_are_told_apart_from_the_rest() {
        let log = "t  INFO a: b\nt ERROR runtime: task failed\nt  WARN c\nthread 'x' panicked at y\n";
        assert_eq!(errors_of(log), "t ERROR runtime: task failed\nthread 'x' panicked at y");
    }
}

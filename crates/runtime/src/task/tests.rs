use std::{
    convert::Infallible,
    future::pending,
    sync::atomic::{AtomicU32, Ordering},
};

use tokio::sync::oneshot;

use super::*;

const SHORT: Duration = Duration::from_millis(20);
/// Long enough for any machine; a test that needs it has failed.
const BOUND: Duration = Duration::from_secs(10);

fn supervisor() -> (Supervisor, Registry) {
    let registry = Registry::new();
    (Supervisor::new(&registry).unwrap(), registry)
}

fn metric(registry: &Registry, name: &str, task: &str) -> f64 {
    let families = registry.gather();
    let Some(family) = families.iter().find(|family| family.name() == name) else { return 0.0 };
    family
        .get_metric()
        .iter()
        .filter(|metric| metric.get_label().iter().any(|label| label.value() == task))
        .map(|metric| metric.get_counter().get_value() + metric.get_gauge().get_value())
        .sum()
}

async fn until(condition: impl Fn() -> bool) {
    let poll = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(BOUND, poll).await.expect("the condition came true in time");
}

#[tokio::test]
async fn a_panic_becomes_an_error_with_the_tasks_name_and_others_live_on() {
    let (supervisor, registry) = supervisor();
    supervisor.spawn("steady", Restart::Never, |shutdown| async move {
        shutdown.wait().await;
        Ok::<_, Infallible>(())
    });
    let outcome = supervisor.run("write", async { panic!("row {} is odd", 7) }).await;
    let message = "row 7 is odd".to_owned();
    assert_eq!(outcome, Err::<(), _>(TaskError::Panicked { task: "write", message }));
    assert_eq!(metric(&registry, "gateway_task_panics_total", "write"), 1.0);
    assert_eq!(supervisor.run("write", async { 3 }).await, Ok(3));
    let names: Vec<_> = supervisor.tasks().iter().map(|task| task.name).collect();
    assert_eq!(names, ["steady"]);
    assert_eq!(metric(&registry, "gateway_tasks_running", "steady"), 1.0);
    assert_eq!(metric(&registry, "gateway_tasks_running", "write"), 0.0);
}

#[tokio::test]
async fn a_task_that_fails_or_panics_is_started_again_until_it_ends_well() {
    let (supervisor, registry) = supervisor();
    let starts = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&starts);
    let restart = Restart::OnFailure { first: Duration::from_millis(1), max: Duration::from_millis(4) };
    supervisor.spawn("relay", restart, move |_| {
        let start = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            match start {
                0 => panic!("first"),
                1 => Err("second"),
                _ => Ok(()),
            }
        }
    });
    until(|| supervisor.tasks().is_empty()).await;
    assert_eq!(starts.load(Ordering::SeqCst), 3);
    assert_eq!(metric(&registry, "gateway_task_panics_total", "relay"), 1.0);
    assert_eq!(metric(&registry, "gateway_task_failures_total", "relay"), 1.0);
    assert_eq!(metric(&registry, "gateway_task_restarts_total", "relay"), 2.0);
}

#[tokio::test]
async fn a_task_that_waits_to_be_restarted_says_so_and_ends_at_shutdown() {
    let (supervisor, _) = supervisor();
    let restart = Restart::OnFailure { first: BOUND, max: BOUND };
    supervisor.spawn("relay", restart, |_| async { Err::<(), _>("down") });
    until(|| supervisor.tasks().iter().any(|task| task.state == TaskState::BackingOff)).await;
    assert!(supervisor.shutdown(BOUND).await.is_empty());
    assert_eq!(supervisor.tasks(), []);
}

#[test]
fn restart_delays_double_up_to_the_longest_and_start_over_after_a_long_run() {
    let (first, max) = (Duration::from_secs(1), Duration::from_secs(4));
    let mut backoff = Backoff::new(Restart::OnFailure { first, max });
    for (lived, longest) in [(0, 1), (0, 2), (0, 4), (0, 4), (5, 1), (0, 2)] {
        let delay = backoff.next(Duration::from_secs(lived)).unwrap();
        let longest = Duration::from_secs(longest);
        assert!(delay >= longest / 2 && delay <= longest, "{delay:?} of {longest:?}");
    }
    assert_eq!(Backoff::new(Restart::Never).next(Duration::ZERO), None);
}

#[tokio::test]
async fn shutdown_waits_for_a_one_shot_task_whose_caller_went_away() {
    let (supervisor, _) = supervisor();
    let (go, gate) = oneshot::channel::<()>();
    let wrote = Arc::new(AtomicU32::new(0));
    let row = Arc::clone(&wrote);
    drop(supervisor.run("write", async move {
        let _ = gate.await;
        row.fetch_add(1, Ordering::SeqCst);
    }));
    let drain = tokio::time::timeout(SHORT, supervisor.shutdown(BOUND)).await;
    assert!(drain.is_err(), "shutdown is still waiting");
    supervisor.shutdown_signal().wait().await;
    go.send(()).unwrap();
    assert!(supervisor.shutdown(BOUND).await.is_empty());
    assert_eq!(wrote.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn the_deadline_aborts_what_is_left_and_names_it() {
    let (supervisor, registry) = supervisor();
    supervisor.spawn("polite", Restart::Never, |shutdown| async move {
        shutdown.wait().await;
        Ok::<_, Infallible>(())
    });
    supervisor.spawn("deaf", Restart::Never, |_| pending::<Result<(), Infallible>>());
    let stuck = supervisor.run("write", pending::<()>());
    assert_eq!(supervisor.shutdown(SHORT).await, ["deaf", "write"]);
    assert_eq!(stuck.await, Err(TaskError::Aborted { task: "write" }));
    assert_eq!(supervisor.tasks(), []);
    assert_eq!(metric(&registry, "gateway_tasks_running", "deaf"), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_entry_stays_behind_after_many_tasks() {
    let (supervisor, _) = supervisor();
    let all: Vec<_> = (0..1000).map(|n| supervisor.run("write", async move { n })).collect();
    for (n, one) in all.into_iter().enumerate() {
        assert_eq!(one.await, Ok(n));
    }
    assert_eq!(supervisor.tasks(), []);
}

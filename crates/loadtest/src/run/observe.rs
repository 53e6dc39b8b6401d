//! The server's side, once a second: CPU and memory from the operating system, limits and decisions from its metrics.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{
    http::{Request, once},
    outcome::ServerSecond,
};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);
/// How long the metrics may take.
const METRICS_WITHIN: Duration = Duration::from_secs(2);
/// Ticks a second of the times in /proc (USER_HZ, which Linux keeps at 100 on every machine).
const TICKS_A_SECOND: f64 = 100.0;

/// Where to look.
#[derive(Clone, Debug, Default)]
pub(crate) struct Whom {
    /// The server's process.
    pub(crate) pid: Option<u32>,
    pub(crate) internal: Option<Internal>,
}

/// The internal listener.
#[derive(Clone, Debug)]
pub(crate) struct Internal {
    pub(crate) address: SocketAddr,
    pub(crate) token: String,
}

/// What was seen, in order.
#[derive(Clone, Default)]
pub(crate) struct Sights(Arc<Mutex<Vec<Sight>>>);

/// One look.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sight {
    /// From the start.
    pub(crate) at: Duration,
    /// CPU that the process used since it began, seconds.
    pub(crate) cpu_s: Option<f64>,
    pub(crate) rss_mb: Option<f64>,
    pub(crate) metrics: Metrics,
}

/// What the metrics say, as far as it is of interest here; counters count from the process's start.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Metrics {
    limit: Option<f64>,
    in_flight: Option<f64>,
    level: Option<f64>,
    keys: Option<f64>,
    decisions: BTreeMap<String, BTreeMap<String, f64>>,
}

impl Sights {
    /// All so far.
    pub(crate) fn list(&self) -> MutexGuard<'_, Vec<Sight>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks again and again, at each full second from `start`; the caller drops it.
    pub(crate) async fn watch(&self, whom: &Whom, start: Instant) {
        let mut ticks = tokio::time::interval_at(start.into(), EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            let sight = look(whom, start).await;
            self.list().push(sight);
        }
    }

    /// The CPU that the process used between two moments of the run, seconds; none without looks around them.
    pub(crate) fn cpu_between(&self, from: f64, to: f64) -> Option<f64> {
        let list = self.list();
        Some(cpu_at(&list, to)? - cpu_at(&list, from)?)
    }

    /// What `at_s`, a full second, looked like at its end.
    pub(crate) fn second(&self, at_s: usize) -> Option<ServerSecond> {
        let list = self.list();
        let end = Duration::from_secs(at_s as u64 + 1);
        // A look that came late belongs to the second that it was due in.
        let index = list.iter().position(|sight| sight.at >= end && sight.at < end + EVERY)?;
        let now = &list[index];
        let before = index.checked_sub(1).and_then(|index| list.get(index));
        let cores = before.and_then(|before| Some((now.cpu_s? - before.cpu_s?) / (now.at - before.at).as_secs_f64()));
        let Metrics { limit, in_flight, level, keys, decisions } = &now.metrics;
        let mut decisions = decisions.clone();
        for (policy, outcomes) in &mut decisions {
            for (outcome, count) in outcomes {
                let earlier = before.and_then(|b| b.metrics.decisions.get(policy)?.get(outcome));
                *count -= earlier.copied().unwrap_or_default();
            }
        }
        let (limit, in_flight, level, keys) = (*limit, *in_flight, *level, *keys);
        Some(ServerSecond { cores, rss_mb: now.rss_mb, limit, in_flight, level, keys, decisions })
    }
}

/// By straight line between the looks before and after.
fn cpu_at(list: &[Sight], at: f64) -> Option<f64> {
    let points: Vec<_> = list.iter().filter_map(|sight| Some((sight.at.as_secs_f64(), sight.cpu_s?))).collect();
    let after = points.iter().position(|(when, _)| *when >= at);
    let (later, earlier) = match after {
        Some(0) => (points.first()?, points.first()?),
        Some(index) => (&points[index], &points[index - 1]),
        None => (points.last()?, points.last()?),
    };
    let span = later.0 - earlier.0;
    Some(if span > 0.0 { earlier.1 + (later.1 - earlier.1) * (at - earlier.0) / span } else { later.1 })
}

/// One look, now.
pub(crate) async fn look(whom: &Whom, start: Instant) -> Sight {
    let (cpu_s, rss_mb) = whom.pid.map_or((None, None), |pid| (cpu_seconds(pid), rss_mb(pid)));
    let at = start.elapsed();
    let metrics = match &whom.internal {
        Some(internal) => metrics(internal).await.unwrap_or_default(),
        None => Metrics::default(),
    };
    Sight { at, cpu_s, rss_mb, metrics }
}

/// The CPU time of all threads of a process, user and system, seconds.
pub(crate) fn cpu_seconds(pid: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    parse_cpu(&stat)
}

/// Fields 14 and 15 of proc(5)'s stat; the name before them is in parentheses and may hold anything.
fn parse_cpu(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS_A_SECOND)
}

fn rss_mb(pid: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}

async fn metrics(internal: &Internal) -> Option<Metrics> {
    let request =
        Request { method: "GET", path: "/metrics", token: Some(&internal.token), idempotency_key: None, body: None };
    let (status, body) = once(internal.address, &request, METRICS_WITHIN).await.ok()?;
    (status == 200).then(|| parse_metrics(&String::from_utf8_lossy(&body)))
}

/// The text format of Prometheus, one sample a line.
fn parse_metrics(text: &str) -> Metrics {
    let mut metrics = Metrics::default();
    for line in text.lines().filter(|line| line.starts_with("gateway_")) {
        let Some((series, value)) = line.rsplit_once(' ') else { continue };
        let Ok(value) = value.parse::<f64>() else { continue };
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        match name {
            "gateway_overload_limit" => metrics.limit = Some(value),
            "gateway_overload_in_flight" => metrics.in_flight = Some(value),
            "gateway_overload_level" => metrics.level = Some(value),
            "gateway_traffic_keys" => *metrics.keys.get_or_insert(0.0) += value,
            "gateway_traffic_decisions_total" | "gateway_overload_decisions_total" => {
                let policy = label(labels, "policy").unwrap_or("overload");
                let outcome = label(labels, "outcome").unwrap_or_default();
                let outcomes = metrics.decisions.entry(policy.to_owned()).or_default();
                *outcomes.entry(outcome.to_owned()).or_default() += value;
            }
            _ => {}
        }
    }
    metrics
}

/// The value of a label; names of policies and outcomes hold nothing that would be escaped.
fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    let found = labels.split(',').find_map(|pair| pair.strip_prefix(name)?.strip_prefix("=\""))?;
    found.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_is_read_past_a_name_with_anything_in_it() {
        let stat = "42 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0";
        assert_eq!(parse_cpu(stat), Some(2.0));
        assert_eq!(parse_cpu("42"), None);
        assert!(cpu_seconds(std::process::id()).is_some() && rss_mb(std::process::id()).unwrap() > 1.0);
    }

    #[test]
    fn decisions_of_all_classes_are_summed_by_policy_and_outcome() {
        let text = "# HELP gateway_overload_limit x\n\
            gateway_overload_limit 24\n\
            gateway_overload_level 2\n\
            gateway_overload_decisions_total{outcome=\"shed\",priority=\"4\"} 5\n\
            gateway_traffic_decisions_total{class=\"quote\",outcome=\"admitted\",policy=\"address\"} 7\n\
            gateway_traffic_decisions_total{class=\"ride\",outcome=\"admitted\",policy=\"address\"} 3\n\
            gateway_traffic_keys{policy=\"address\"} 11\ngateway_traffic_keys{policy=\"passenger\"} 4\n\
            another_thing 3\n";
        let metrics = parse_metrics(text);
        assert_eq!((metrics.limit, metrics.level, metrics.in_flight), (Some(24.0), Some(2.0), None));
        assert_eq!(metrics.keys, Some(15.0));
        assert_eq!(metrics.decisions["address"]["admitted"], 10.0);
        assert_eq!(metrics.decisions["overload"]["shed"], 5.0);
    }

    #[test]
    fn cpu_between_two_moments_lies_on_the_line_between_the_looks() {
        let sights = Sights::default();
        for (at, cpu) in [(0, 10.0), (1000, 10.5), (2000, 11.5)] {
            let at = Duration::from_millis(at);
            sights.list().push(Sight { at, cpu_s: Some(cpu), ..Sight::default() });
        }
        assert!((sights.cpu_between(0.0, 2.0).unwrap() - 1.5).abs() < 1e-9);
        assert!((sights.cpu_between(0.5, 1.5).unwrap() - 0.75).abs() < 1e-9);
        assert_eq!(sights.second(0).unwrap().cores, Some(0.5));
        assert!(sights.second(2).is_none());
    }
}

//! Admission as a whole: policies from a text, decisions, reloads.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test says what it relies on by failing there")]

mod decisions;
mod file;
mod reload;
mod state;

use std::{
    future::Future,
    net::IpAddr,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use prometheus::Registry;

use crate::{Admission, Caller, Class, Config, Decision, Nanos, Policies};

const SECOND: u64 = 1_000_000_000;

/// Admission by a file of policies, and what it counts.
struct World {
    admission: Arc<Admission>,
    registry: Registry,
}

impl World {
    fn with(text: &str) -> Self {
        Self::holding(text, 1_000_000)
    }

    /// The same, where each policy remembers so many callers.
    fn holding(text: &str, max_keys: u32) -> Self {
        let (registry, config) = (Registry::new(), Config { max_keys, ..Config::default() });
        let admission = Admission::build(&config, policies(text), [7; 16], &registry).unwrap();
        Self { admission: Arc::new(admission), registry }
    }

    /// The first decision about a request from `address` at `s` seconds.
    fn from(&self, address: &str, class: Class, s: u64) -> Decision {
        self.admission.check_address(address.parse().unwrap(), class, Nanos(s * SECOND))
    }

    /// The second decision about a request of this passenger at `s` seconds.
    fn of(&self, passenger: i64, class: Class, s: u64) -> Decision {
        let caller = Caller { address: home(), passenger: Some(passenger), device: None };
        done(self.admission.check_caller(caller, class, Nanos(s * SECOND)))
    }

    /// What a counter says.
    fn counted(&self, policy: &str, class: &str, outcome: &str) -> Option<f64> {
        self.sample("gateway_traffic_decisions_total", &[policy, class, outcome])
    }

    /// The value of the series with these labels, in any order.
    fn sample(&self, name: &str, labels: &[&str]) -> Option<f64> {
        let family = self.registry.gather().into_iter().find(|family| family.name() == name)?;
        let metric = family.get_metric().iter().find(|metric| {
            let values: Vec<&str> = metric.get_label().iter().map(|label| label.value()).collect();
            values.len() == labels.len() && labels.iter().all(|label| values.contains(label))
        })?;
        Some(metric.get_counter().get_value() + metric.get_gauge().get_value())
    }
}

fn policies(text: &str) -> Policies {
    Policies::parse(text).unwrap_or_else(|mistakes| panic!("{mistakes}\n{text}"))
}

/// One policy; `more` are further lines.
fn policy(name: &str, key: &str, burst: u32, more: &str) -> String {
    format!("[[policy]]\nname = {name:?}\nkey = {key:?}\nquota = 1\nwindow_s = 10\nburst = {burst}\n{more}\n")
}

fn home() -> IpAddr {
    "192.0.2.1".parse().unwrap()
}

/// The value of a future that waits for nothing.
fn done<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}

//! What `/metrics` shows of admission control.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use crate::{
    Class,
    policies::{KeyKind, Mode, Policy},
};

/// What became of a request, as far as one policy is concerned.
pub(crate) const ADMITTED: &str = "admitted";
const REFUSED: &str = "refused";
const SHADOW_REFUSED: &str = "shadow_refused";
const ALLOWED: &str = "allowed";
const DENIED: &str = "denied";
const OVERFLOW: &str = "overflow";

/// The series of a process.
pub(crate) struct Metrics {
    decisions: IntCounterVec,
    keys: IntGaugeVec,
    reloads: IntCounterVec,
    /// Of the set in effect.
    pub(crate) revision: IntGauge,
}

impl Metrics {
    /// # Errors
    /// They are registered already.
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let decisions = IntCounterVec::new(
            Opts::new(
                "gateway_traffic_decisions_total",
                "What a policy said to requests of a class; `overflow` counts beside the others. A policy that had room \
                 when another one refused is not counted",
            ),
            &["policy", "class", "outcome"],
        )?;
        let keys = IntGaugeVec::new(
            Opts::new("gateway_traffic_keys", "Callers that a policy remembers, as of the last sweep"),
            &["policy"],
        )?;
        let reloads = IntCounterVec::new(
            Opts::new(
                "gateway_traffic_reloads_total",
                "Policies that were offered while running, by what became of it",
            ),
            &["outcome"],
        )?;
        let revision = IntGauge::new(
            "gateway_traffic_policies_revision",
            "How often the policies in effect have changed since the start, from 1",
        )?;
        registry.register(Box::new(decisions.clone()))?;
        registry.register(Box::new(keys.clone()))?;
        registry.register(Box::new(reloads.clone()))?;
        registry.register(Box::new(revision.clone()))?;
        for outcome in ["applied", "refused", "unchanged"] {
            reloads.with_label_values(&[outcome]).inc_by(0);
        }
        Ok(Self { decisions, keys, reloads, revision })
    }

    /// Counts policies that were offered: `applied`, `refused`, `unchanged`.
    pub(crate) fn count_reload(&self, outcome: &str) {
        self.reloads.with_label_values(&[outcome]).inc();
    }

    /// Tells how many callers a policy remembers.
    pub(crate) fn set_keys(&self, policy: &str, keys: usize) {
        self.keys.with_label_values(&[policy]).set(i64::try_from(keys).unwrap_or(i64::MAX));
    }

    /// The handles of a policy and a class.
    pub(crate) fn counters(&self, policy: &Policy, class: Class) -> Counters {
        let handle = |outcome| self.decisions.with_label_values(&[policy.name.as_str(), class.name(), outcome]);
        let is_enforced = policy.mode == Mode::Enforce;
        let has_keys = !matches!(policy.key, KeyKind::Class | KeyKind::Global);
        Counters {
            admitted: handle(ADMITTED),
            refused: handle(if is_enforced { REFUSED } else { SHADOW_REFUSED }),
            allowed: (!policy.allow.is_empty()).then(|| handle(ALLOWED)),
            denied: (is_enforced && !policy.deny.is_empty()).then(|| handle(DENIED)),
            overflow: has_keys.then(|| handle(OVERFLOW)),
        }
    }

    /// Forgets the series of a policy that is gone: names come from operators, and there is no end to them.
    pub(crate) fn forget(&self, policy: &str) {
        for class in Class::ALL {
            for outcome in [ADMITTED, REFUSED, SHADOW_REFUSED, ALLOWED, DENIED, OVERFLOW] {
                // What was never counted is not there.
                let _ = self.decisions.remove_label_values(&[policy, class.name(), outcome]);
            }
        }
        let _ = self.keys.remove_label_values(&[policy]);
    }
}

/// The counters of one policy and class, found once.
#[derive(Debug)]
pub(crate) struct Counters {
    /// It had room, and so had the others.
    pub(crate) admitted: IntCounter,
    /// It had none: `refused`, or in shadow mode `shadow_refused`.
    pub(crate) refused: IntCounter,
    /// On the allow list.
    pub(crate) allowed: Option<IntCounter>,
    /// On the deny list of a policy that is enforced.
    pub(crate) denied: Option<IntCounter>,
    /// Decided on a bucket that newcomers share.
    pub(crate) overflow: Option<IntCounter>,
}

/// Counts where there is a counter.
pub(crate) fn count(counter: Option<&IntCounter>) {
    if let Some(counter) = counter {
        counter.inc();
    }
}

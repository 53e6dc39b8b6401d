//! What the gate reports.

use std::sync::Arc;

use prometheus::{
    IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    core::{Collector, Desc},
    proto::MetricFamily,
};

use super::Shared;
use crate::Priority;

/// Counters of one priority, resolved once.
pub(super) struct Decisions {
    pub(super) admitted: IntCounter,
    pub(super) shed: IntCounter,
    pub(super) shadow_shed: IntCounter,
}

/// Registers `gateway_overload_decisions_total`.
pub(super) fn decisions(registry: &Registry) -> Result<[Decisions; Priority::COUNT], prometheus::Error> {
    let vec = IntCounterVec::new(
        Opts::new("gateway_overload_decisions_total", "Requests that found a place, or did not, by priority"),
        &["priority", "outcome"],
    )?;
    registry.register(Box::new(vec.clone()))?;
    Ok(Priority::ALL.map(|priority| {
        let priority = priority.index().to_string();
        let counter = |outcome| vec.with_label_values(&[priority.as_str(), outcome]);
        Decisions { admitted: counter("admitted"), shed: counter("shed"), shadow_shed: counter("shadow_shed") }
    }))
}

/// Reads the gate when it is asked: requests pay nothing for it.
pub(super) struct Gauges {
    shared: Arc<Shared>,
    limit: IntGauge,
    in_flight: IntGauge,
    level: IntGauge,
}

impl Gauges {
    pub(super) fn register(shared: Arc<Shared>, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(Self {
            shared,
            limit: IntGauge::new("gateway_overload_limit", "Requests that may be in progress at once")?,
            in_flight: IntGauge::new("gateway_overload_in_flight", "Requests that are in progress")?,
            level: IntGauge::new(
                "gateway_overload_level",
                "Priorities that were shut, 0 to 4: rises at once, falls by one after a second below it",
            )?,
        }))
    }

    fn all(&self) -> [&IntGauge; 3] {
        [&self.limit, &self.in_flight, &self.level]
    }
}

impl Collector for Gauges {
    fn desc(&self) -> Vec<&Desc> {
        self.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.limit.set(self.shared.places.limit().into());
        self.in_flight.set(self.shared.places.in_flight().into());
        self.level.set(self.shared.level().into());
        self.all().into_iter().flat_map(Collector::collect).collect()
    }
}

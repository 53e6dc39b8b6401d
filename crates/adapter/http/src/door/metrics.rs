//! What the doors measure.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

/// The series of all doors.
#[derive(Clone)]
pub(crate) struct Metrics {
    open: IntGaugeVec,
    opened: IntCounterVec,
    ended: IntCounterVec,
}

/// The series of one door.
pub(super) struct Series {
    name: String,
    open: IntGauge,
    opened: IntCounter,
    ended: IntCounterVec,
}

impl Metrics {
    /// Registers the series.
    ///
    /// # Errors
    /// They are registered already.
    pub(crate) fn build(registry: &Registry) -> Result<Self, prometheus::Error> {
        let of = |name: &str, help: &str| Opts::new(name, help);
        let open = IntGaugeVec::new(of("gateway_http_connections", "Connections that are open."), &["listener"])?;
        let opened = of("gateway_http_connections_opened_total", "Connections that were let in.");
        let ended = of(
            "gateway_http_connections_ended_total",
            "Connections turned away (address, full) or ended by us (head, idle, room, stalled, endless).",
        );
        let opened = IntCounterVec::new(opened, &["listener"])?;
        let ended = IntCounterVec::new(ended, &["listener", "reason"])?;
        registry.register(Box::new(open.clone()))?;
        registry.register(Box::new(opened.clone()))?;
        registry.register(Box::new(ended.clone()))?;
        Ok(Self { open, opened, ended })
    }

    pub(super) fn of(&self, listener: &str) -> Series {
        Series {
            name: listener.to_owned(),
            open: self.open.with_label_values(&[listener]),
            opened: self.opened.with_label_values(&[listener]),
            ended: self.ended.clone(),
        }
    }
}

impl Series {
    pub(super) fn opened(&self) {
        self.open.inc();
        self.opened.inc();
    }

    pub(super) fn closed(&self) {
        self.open.dec();
    }

    pub(super) fn ended(&self, reason: &str) {
        self.ended.with_label_values(&[self.name.as_str(), reason]).inc();
    }
}

//! Admission control as a library: who may send how much. No HTTP in it, only numbers.
//!
//! The first limits are generous and per process: one bucket per network address before anything is known about
//! the caller, one per passenger after the token is verified.

mod class;
mod config;
pub mod limit;
mod nanos;
mod policy;

use std::net::{IpAddr, Ipv6Addr};

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};

pub use class::{Class, Priority};
pub use config::Config;
pub use nanos::Nanos;
pub use policy::{Decision, Quota};

use policy::Policy;

/// The name of the policy that counts network addresses.
const ADDRESS: &str = "address";
/// The name of the policy that counts passengers.
const PASSENGER: &str = "passenger";

/// Decides about every request. One of it serves all threads: share it by `Arc`.
pub struct Admission {
    address: Policy<IpAddr>,
    passenger: Policy<i64>,
    keys: IntGaugeVec,
}

impl Admission {
    /// Builds the limits and reports to `registry`.
    ///
    /// # Errors
    /// The metrics are already registered there.
    pub fn build(config: &Config, registry: &Registry) -> Result<Self, prometheus::Error> {
        let decisions = IntCounterVec::new(
            Opts::new("gateway_traffic_decisions_total", "Requests that a policy admitted or refused"),
            &["policy", "outcome"],
        )?;
        let keys = IntGaugeVec::new(
            Opts::new("gateway_traffic_keys", "Callers that a policy remembers, as of the last sweep"),
            &["policy"],
        )?;
        registry.register(Box::new(decisions.clone()))?;
        registry.register(Box::new(keys.clone()))?;
        Ok(Self {
            address: Policy::new(ADDRESS, config.address_per_s, config.address_burst, &decisions),
            passenger: Policy::new(PASSENGER, config.passenger_per_s, config.passenger_burst, &decisions),
            keys,
        })
    }

    /// Counts one request from `address`. A whole IPv6 /64 is one caller: it is what one customer is given.
    #[must_use]
    pub fn check_address(&self, address: IpAddr) -> Decision {
        self.address.check(&caller(address))
    }

    /// Counts one request of the passenger with this id.
    #[must_use]
    pub fn check_passenger(&self, passenger_id: i64) -> Decision {
        self.passenger.check(&passenger_id)
    }

    /// Forgets callers whose quota is full again: they are like new ones. Memory is bounded by who called since
    /// the last sweep, so call it every few seconds.
    pub fn sweep(&self) {
        for (policy, keys) in [(ADDRESS, self.address.sweep()), (PASSENGER, self.passenger.sweep())] {
            self.keys.with_label_values(&[policy]).set(i64::try_from(keys).unwrap_or(i64::MAX));
        }
    }
}

/// What counts as one caller: an IPv4 address (also one written as IPv6), an IPv6 /64.
fn caller(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strict() -> Admission {
        let config = Config { address_per_s: 1, address_burst: 2, passenger_per_s: 1, passenger_burst: 1 };
        Admission::build(&config, &Registry::new()).unwrap()
    }

    fn admitted(decision: &Decision) -> bool {
        matches!(decision, Decision::Admitted(_))
    }

    #[test]
    fn one_ipv6_network_is_one_caller() {
        let admission = strict();
        assert!(admitted(&admission.check_address("2001:db8::1".parse().unwrap())));
        assert!(admitted(&admission.check_address("2001:db8::ffff:2".parse().unwrap())));
        assert!(!admitted(&admission.check_address("2001:db8::3".parse().unwrap())));
        assert!(admitted(&admission.check_address("2001:db8:0:1::1".parse().unwrap())));
    }

    #[test]
    fn an_ipv4_address_written_as_ipv6_is_the_same_caller() {
        assert_eq!(caller("::ffff:192.0.2.7".parse().unwrap()), "192.0.2.7".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn a_passengers_limit_is_not_anothers() {
        let admission = strict();
        assert!(admitted(&admission.check_passenger(1)));
        assert!(!admitted(&admission.check_passenger(1)));
        assert!(admitted(&admission.check_passenger(2)));
    }

    #[test]
    fn two_admissions_cannot_report_to_one_registry() {
        let registry = Registry::new();
        assert!(Admission::build(&Config::default(), &registry).is_ok());
        assert!(Admission::build(&Config::default(), &registry).is_err());
    }
}

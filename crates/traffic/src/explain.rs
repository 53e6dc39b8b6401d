//! How somebody stands with every policy, for an operator who asks why they are refused. Changes nothing.

use std::{fmt::Write, net::IpAddr, time::Duration};

use serde::Serialize;

use crate::{
    Admission, Class, Nanos,
    admission::Keys,
    decision::{DENIED_FOR, seconds},
    limit::{Key, State, Tier},
    lists::{List, address_key, key_of, prefix_key},
    policies::{KeyKind, Mode, Policy, Who, counted},
    set::{PolicySet, Ready, Step},
};

/// Whom an operator asks about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whom {
    /// Where from.
    pub address: Option<IpAddr>,
    /// Whose token.
    pub passenger: Option<i64>,
    /// Which device.
    pub device: Option<String>,
    /// Requests of this class alone; of every class if left out.
    pub class: Option<Class>,
}

/// How one policy stands with somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TierReport {
    /// Its name.
    pub policy: String,
    /// What it counts by.
    pub key: KeyKind,
    /// Who is counted, as the policy sees it: an IPv6 address is its /64; empty for everybody.
    pub whom: String,
    /// Whether it refuses or only counts.
    pub mode: Mode,
    /// Whether the budget is one of their own.
    pub has_override: bool,
    /// The bucket's size, units.
    pub burst: u32,
    /// Seconds in which it fills, rounded up.
    pub window_s: u32,
    /// Units that are left.
    pub remaining: u32,
    /// Until the bucket is full again, milliseconds, rounded up.
    pub full_in_ms: u64,
    /// Whether the policy remembers so many callers that this one shares a bucket with the neighbourhood.
    pub is_overflow: bool,
    /// What it says now.
    pub verdict: Verdict,
    /// The requests that do not fit now.
    pub refused: Vec<Refused>,
    /// All of that in words.
    pub why: String,
}

/// What a policy says to somebody now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every request that was asked about fits.
    Admits,
    /// Some request does not fit.
    Refuses,
    /// Some request would not fit, and the policy is in shadow mode.
    WouldRefuse,
    /// On the allow list: not counted.
    Allowed,
    /// On the deny list.
    Denied,
    /// On the deny list of a policy in shadow mode.
    WouldDeny,
}

/// A kind of request that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// Its class.
    pub class: Class,
    /// Units that it takes.
    pub cost: u32,
    /// When it will fit, if nobody takes anything, milliseconds, rounded up.
    pub fits_in_ms: u64,
}

impl Admission {
    /// How every policy that can be asked with what is known stands with somebody now, in the file's order; policies that
    /// count classes stand once for each class. Changes nothing.
    #[must_use]
    pub fn explain(&self, whom: &Whom, now: Nanos) -> Vec<TierReport> {
        let set = self.policies();
        let secret = self.secret();
        // Nobody's neighbourhood where no address is known.
        let prefix = whom.address.map_or(Key::SHARED, |address| prefix_key(address, secret));
        let keys = Keys {
            address: whom.address.map(|address| (address, address_key(address, secret))),
            passenger: whom.passenger.map(|id| secret.key(&id.to_le_bytes())),
            device: whom.device.as_ref().map(|name| secret.key(name.as_bytes())),
            prefix,
        };
        let classes: Vec<Class> = whom.class.map_or_else(|| Class::ALL.to_vec(), |class| vec![class]);
        let mut reports = Vec::new();
        for (index, (policy, ready)) in set.each().enumerate() {
            let steps: Vec<(Class, &Step)> = classes.iter().filter_map(|class| step(&set, *class, index)).collect();
            // One bucket, one report: only a policy of classes has several here.
            let groups = steps.chunk_by(|(_, one), (_, other)| one.fixed == other.fixed);
            for group in groups {
                let Some(key) = group.first().and_then(|(_, step)| keys.of(step)) else { continue };
                let has_override = policy.overrides.iter().any(|own| key_of(&own.key, secret) == key);
                let report = TierReport { has_override, ..report(policy, ready, &keys, key, group, now) };
                reports.push(TierReport { whom: name(policy.key, whom, group), ..report });
            }
        }
        reports
    }
}

fn step(set: &PolicySet, class: Class, policy: usize) -> Option<(Class, &Step)> {
    let plan = set.plan(class);
    plan.address.iter().chain(&plan.caller).find(|step| step.policy == policy).map(|step| (class, step))
}

fn report(policy: &Policy, ready: &Ready, keys: &Keys, key: Key, steps: &[(Class, &Step)], now: Nanos) -> TierReport {
    let tier = |cost| Tier { table: &ready.table, key, prefix: keys.prefix, cost, shadow: true };
    let state = tier(1).peek(now);
    let refused: Vec<Refused> = steps
        .iter()
        .filter_map(|(class, step)| {
            let wait = tier(step.cost).peek(now).wait()?;
            Some(Refused { class: *class, cost: step.cost, fits_in_ms: ms(wait) })
        })
        .collect();
    let lists = |list: &List| match (policy.key, keys.address) {
        (KeyKind::Address, Some((address, _))) => list.has_address(address),
        _ => list.has_key(key),
    };
    let is_shadow = policy.mode == Mode::Shadow;
    let verdict = match (lists(&ready.deny), lists(&ready.allow)) {
        (true, _) if is_shadow => Verdict::WouldDeny,
        (true, _) => Verdict::Denied,
        (false, true) => Verdict::Allowed,
        (false, false) if refused.is_empty() => Verdict::Admits,
        (false, false) if is_shadow => Verdict::WouldRefuse,
        (false, false) => Verdict::Refuses,
    };
    let rate = state.rate();
    TierReport {
        policy: policy.name.clone(),
        key: policy.key,
        whom: String::new(),
        mode: policy.mode,
        has_override: false,
        burst: rate.burst(),
        window_s: seconds(rate.fill_time()),
        remaining: state.remaining(),
        full_in_ms: ms(state.full_in()),
        is_overflow: state.is_overflow(),
        why: why(verdict, &refused, state),
        verdict,
        refused,
    }
}

fn name(kind: KeyKind, whom: &Whom, steps: &[(Class, &Step)]) -> String {
    let known = match kind {
        KeyKind::Address => whom.address.map(|address| Who::Network(counted(address)).to_string()),
        KeyKind::Passenger => whom.passenger.map(|id| id.to_string()),
        KeyKind::Device => whom.device.clone(),
        KeyKind::Class => steps.first().map(|(class, _)| class.name().to_owned()),
        KeyKind::Global => None,
    };
    known.unwrap_or_default()
}

fn why(verdict: Verdict, refused: &[Refused], state: State) -> String {
    let mut text = match verdict {
        Verdict::Allowed => "on the allow list: not counted".to_owned(),
        Verdict::Denied => {
            format!("on the deny list: refused at once, told to come back in {} s", DENIED_FOR.as_secs())
        }
        Verdict::WouldDeny => "on the deny list of a policy in shadow mode: counted, not refused".to_owned(),
        Verdict::Admits | Verdict::Refuses | Verdict::WouldRefuse => {
            format!("{} of {} units are left", state.remaining(), state.rate().burst())
        }
    };
    for Refused { class, cost, fits_in_ms } in refused.iter().filter(|_| is_counted(verdict)) {
        let (class, no) = (class.name(), if verdict == Verdict::Refuses { "refused" } else { "counted as refused" });
        // Writing to a string does not fail.
        let _ = write!(text, "; {class} takes {cost} and is {no} for {fits_in_ms} ms more");
    }
    if state.is_overflow() && is_counted(verdict) {
        text.push_str(
            "; the policy remembers as many callers as it may, so newcomers share the budget of their neighbourhood",
        );
    }
    text
}

fn is_counted(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Admits | Verdict::Refuses | Verdict::WouldRefuse)
}

/// Milliseconds, rounded up.
fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

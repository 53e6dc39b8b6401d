//! What was decided, and the numbers behind the answer's headers.

use std::{sync::Arc, time::Duration};

use arrayvec::ArrayVec;

use crate::{
    limit::{MAX_TIERS, State},
    set::PolicySet,
};

/// When somebody on a deny list is told to come back.
pub(crate) const DENIED_FOR: Duration = Duration::from_secs(3600);

/// What was decided about one request, and what every enforced policy that spoke has left. Made without allocation; it
/// keeps the policies that it was made by.
pub struct Decision {
    set: Arc<PolicySet>,
    spoken: ArrayVec<Spoken, MAX_TIERS>,
    admitted: bool,
}

/// What one policy said.
pub(crate) struct Spoken {
    pub(crate) policy: usize,
    pub(crate) word: Word,
}

pub(crate) enum Word {
    /// This is how it stands; refused if it has to wait.
    Counted(State),
    /// On its deny list.
    Denied,
}

/// The numbers behind the response fields `RateLimit-Policy` (name, `q`, `w`) and `RateLimit` (name, `r`, `t`) of
/// draft-ietf-httpapi-ratelimit-headers (version 11 of May 2026). The fields themselves are HTTP and not here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota<'a> {
    /// The policy's name.
    pub policy: &'a str,
    /// `q`: units in one window; the bucket's size.
    pub quota: u32,
    /// `w`: seconds in which an empty bucket fills, rounded up.
    pub window_s: u32,
    /// `r`: units that are left.
    pub remaining: u32,
    /// `t`: seconds, rounded up, until the bucket is full again; from a policy that refused, until it would admit, to
    /// which HTTP adds jitter in `Retry-After`.
    pub reset_s: u32,
}

impl Decision {
    pub(crate) fn new(set: Arc<PolicySet>, spoken: ArrayVec<Spoken, MAX_TIERS>, admitted: bool) -> Self {
        Self { set, spoken, admitted }
    }

    /// Whether it may go on.
    #[must_use]
    pub fn is_admitted(&self) -> bool {
        self.admitted
    }

    /// Refused: when every policy that refused would admit it, if nobody else takes anything. More than zero.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.spoken.iter().filter_map(Spoken::wait).max()
    }

    /// The names of the policies that refused.
    pub fn violated(&self) -> impl Iterator<Item = &str> {
        self.spoken.iter().filter(|spoken| spoken.wait().is_some()).map(|spoken| self.name(spoken))
    }

    /// What every enforced policy that spoke has left, in the file's order.
    pub fn quotas(&self) -> impl Iterator<Item = Quota<'_>> {
        self.spoken.iter().map(|spoken| match &spoken.word {
            Word::Counted(state) => {
                let rate = state.rate();
                Quota {
                    policy: self.name(spoken),
                    quota: rate.burst(),
                    window_s: seconds(rate.fill_time()),
                    remaining: state.remaining(),
                    reset_s: seconds(spoken.wait().unwrap_or_else(|| state.full_in())),
                }
            }
            Word::Denied => {
                let (policy, _) = self.set.policy(spoken.policy);
                let quota = policy.budget.burst.get();
                let window_s = u64::from(quota) * u64::from(policy.budget.window_s.get());
                let window_s = u32::try_from(window_s.div_ceil(policy.budget.quota.get().into())).unwrap_or(u32::MAX);
                Quota { policy: &policy.name, quota, window_s, remaining: 0, reset_s: seconds(DENIED_FOR) }
            }
        })
    }

    fn name(&self, spoken: &Spoken) -> &str {
        &self.set.policy(spoken.policy).0.name
    }
}

impl Spoken {
    fn wait(&self) -> Option<Duration> {
        match &self.word {
            // A cost above the burst would wait for ever; a decision is never left like that, but no sum may overflow.
            Word::Counted(state) => state.wait().map(|wait| wait.min(state.rate().fill_time())),
            Word::Denied => Some(DENIED_FOR),
        }
    }
}

/// Whole seconds, rounded up.
pub(crate) fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_nanos().div_ceil(1_000_000_000)).unwrap_or(u32::MAX)
}

//! What was decided, and the numbers behind the answer's headers.

use std::{sync::Arc, time::Duration};

use arrayvec::ArrayVec;

use crate::{
    limit::{MAX_TIERS, State},
    set::PolicySet,
};

/// When somebody on a deny list is told to come back.
pub(crate) const DENIED_FOR: Duration = Duration::from_secs(3600);

/// What was decided about one request, and what every enforced policy that spoke has left. Made without allocation, and
/// small, because it is kept until the answer; it holds on to the policies that it was made by.
pub struct Decision {
    set: Arc<PolicySet>,
    words: ArrayVec<Word, MAX_TIERS>,
    /// The longest of those that refused.
    wait: Option<Duration>,
    admitted: bool,
}

/// What one policy said.
struct Word {
    /// Its place in the file.
    policy: u32,
    refused: bool,
    quota: u32,
    window_s: u32,
    remaining: u32,
    reset_s: u32,
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
    /// Admitted, and nobody has spoken.
    pub(crate) fn new(set: Arc<PolicySet>) -> Self {
        Self { set, words: ArrayVec::new(), wait: None, admitted: true }
    }

    pub(crate) fn refuse(&mut self) {
        self.admitted = false;
    }

    /// The policy at this place has counted the request, or would have: this is how it stands.
    pub(crate) fn counted(&mut self, policy: usize, state: &State) {
        let rate = state.rate();
        // A cost above the burst would wait for ever; a decision is never left like that, but no sum may overflow.
        let wait = state.wait().map(|wait| wait.min(rate.fill_time()));
        self.say(Word {
            policy: policy as u32,
            refused: wait.is_some(),
            quota: rate.burst(),
            window_s: seconds(rate.fill_time()),
            remaining: state.remaining(),
            reset_s: seconds(wait.unwrap_or_else(|| state.full_in())),
        });
        self.wait = self.wait.max(wait);
    }

    /// The caller is on the deny list of the policy at this place.
    pub(crate) fn denied(&mut self, policy: usize) {
        let budget = &self.set.policy(policy).0.budget;
        let (quota, units) = (budget.burst.get(), u64::from(budget.quota.get()));
        let window_s = (u64::from(quota) * u64::from(budget.window_s.get())).div_ceil(units);
        let window_s = u32::try_from(window_s).unwrap_or(u32::MAX);
        let reset_s = seconds(DENIED_FOR);
        self.say(Word { policy: policy as u32, refused: true, quota, window_s, remaining: 0, reset_s });
        self.wait = self.wait.max(Some(DENIED_FOR));
        self.admitted = false;
    }

    fn say(&mut self, word: Word) {
        // No class has more policies in one decision.
        let _ = self.words.try_push(word);
    }

    /// Whether it may go on.
    #[must_use]
    pub fn is_admitted(&self) -> bool {
        self.admitted
    }

    /// Refused: when every policy that refused would admit it, if nobody else takes anything. More than zero.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.wait
    }

    /// The names of the policies that refused.
    pub fn violated(&self) -> impl Iterator<Item = &str> {
        self.words.iter().filter(|word| word.refused).map(|word| self.name(word))
    }

    /// What every enforced policy that spoke has left, in the file's order.
    pub fn quotas(&self) -> impl Iterator<Item = Quota<'_>> {
        self.words.iter().map(|word| {
            let &Word { quota, window_s, remaining, reset_s, .. } = word;
            Quota { policy: self.name(word), quota, window_s, remaining, reset_s }
        })
    }

    fn name(&self, word: &Word) -> &str {
        &self.set.policy(word.policy as usize).0.name
    }
}

/// Whole seconds, rounded up.
pub(crate) fn seconds(duration: Duration) -> u32 {
    // On the way of every answer, several times: without a division of 128 bits.
    u32::try_from(duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))).unwrap_or(u32::MAX)
}

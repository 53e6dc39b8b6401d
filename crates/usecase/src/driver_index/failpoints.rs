//! Where a test may let the process die: every step of an acceptance, in the order in which they are reached.

/// The ride's transaction has written everything and is not committed.
pub const ACCEPT_WRITTEN: &str = "accept.written";
/// It is committed, and nobody was told.
pub const ACCEPT_COMMITTED: &str = "accept.committed";
/// The relay is about to write the row.
pub const OUTBOX_TAKEN: &str = "outbox.taken";
/// The row is committed and the message is still there.
pub const OUTBOX_INDEXED: &str = "outbox.indexed";
/// The message is gone.
pub const OUTBOX_ACKNOWLEDGED: &str = "outbox.acknowledged";

/// Those that [`Strategy::Outbox`](super::Strategy::Outbox) passes.
pub const OUTBOX: [&str; 5] = [ACCEPT_WRITTEN, ACCEPT_COMMITTED, OUTBOX_TAKEN, OUTBOX_INDEXED, OUTBOX_ACKNOWLEDGED];

/// The driver's side is about to be held ready.
pub const ATTEMPT_BEGUN: &str = "attempt.begun";
/// The reservation is written and not committed; the row is prepared, and its node was not told.
pub const ATTEMPT_HOLDING: &str = "attempt.holding";
/// The driver's side is held ready, durably; the ride knows nothing.
pub const ATTEMPT_HELD: &str = "attempt.held";
/// The reservation has become the row, which is not committed.
pub const ATTEMPT_CONFIRMING: &str = "attempt.confirming";
/// The row is committed and the decision is still there.
pub const ATTEMPT_CARRIED_OUT: &str = "attempt.carried-out";
/// The decision is gone.
pub const ATTEMPT_FORGOTTEN: &str = "attempt.forgotten";

/// Those that an acceptance passes by [`Strategy::TwoPhase`](super::Strategy::TwoPhase).
pub const TWO_PHASE: [&str; 7] = [
    ATTEMPT_BEGUN,
    ATTEMPT_HOLDING,
    ATTEMPT_HELD,
    ACCEPT_WRITTEN,
    ACCEPT_COMMITTED,
    ATTEMPT_CARRIED_OUT,
    ATTEMPT_FORGOTTEN,
];
/// Those that an acceptance passes by [`Strategy::Tcc`](super::Strategy::Tcc).
pub const TCC: [&str; 8] = [
    ATTEMPT_BEGUN,
    ATTEMPT_HOLDING,
    ATTEMPT_HELD,
    ACCEPT_WRITTEN,
    ACCEPT_COMMITTED,
    ATTEMPT_CONFIRMING,
    ATTEMPT_CARRIED_OUT,
    ATTEMPT_FORGOTTEN,
];
/// Those that both pass when a node takes up a decision that another one has left.
pub const RECOVERY: [&str; 2] = [ATTEMPT_CARRIED_OUT, ATTEMPT_FORGOTTEN];

/// The ride has refused the driver, whose side still holds the row ready.
pub const ATTEMPT_REFUSED: &str = "attempt.refused";
/// It does not any more.
pub const ATTEMPT_FREED: &str = "attempt.freed";

/// Those that both pass when the ride refuses.
pub const REFUSAL: [&str; 2] = [ATTEMPT_REFUSED, ATTEMPT_FREED];

/// The driver's side has failed: perhaps it holds the row, perhaps it will yet.
pub const ATTEMPT_FAILED: &str = "attempt.failed";
/// It was told not to.
pub const ATTEMPT_CANCELLED: &str = "attempt.cancelled";

/// Those that both pass when the driver's side fails.
pub const FAILURE: [&str; 2] = [ATTEMPT_FAILED, ATTEMPT_CANCELLED];

/// It is decided that there will be no acceptance; the driver's side still holds the row ready.
pub const ATTEMPT_ABORTED: &str = "attempt.aborted";
/// It does not any more.
pub const ATTEMPT_UNDONE: &str = "attempt.undone";

/// Those that both pass when a node takes up what another one has left undecided.
pub const UNDOING: [&str; 2] = [ATTEMPT_ABORTED, ATTEMPT_UNDONE];

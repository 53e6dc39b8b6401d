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

//! Where a test may let the process that moves a shard die, in the order in which they are reached.

/// Both databases know of the move, and no row was copied.
pub const ANNOUNCED: &str = "move.announced";
/// The first copy is whole.
pub const COPIED: &str = "move.copied";
/// Nobody writes to the shard any more.
pub const CLOSED: &str = "move.closed";
/// The copy says the same, and the shard is still where it was.
pub const VERIFIED: &str = "move.verified";
/// The database that held it has given it away; the other one does not know that.
pub const FLIPPED: &str = "move.flipped";
/// The other one takes writes.
pub const OPENED: &str = "move.opened";
/// Every database knows, and the rows are still where they were, too.
pub const TOLD: &str = "move.told";
/// The rows are gone there, and the database does not say so yet.
pub const REMOVED: &str = "move.removed";

/// All of them.
pub const ALL: [&str; 8] = [ANNOUNCED, COPIED, CLOSED, VERIFIED, FLIPPED, OPENED, TOLD, REMOVED];

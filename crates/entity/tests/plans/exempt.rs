//! Plans that are right though a rule is against them, each with its reason.

use super::database::Engine::{self, Postgres, Sqlite};

/// What a plan may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum May {
    /// Put rows in order.
    Sort,
    /// Go by the shard alone.
    ReadTheShard,
    /// Read the whole table.
    ReadTheTable,
    /// Use this key, not the one that the document names.
    Use(&'static str),
}

pub(crate) struct Exempt {
    pub(crate) method: &'static str,
    pub(crate) may: May,
    /// Where it has to, or, on PostgreSQL, may have to: which of two good plans it takes differs from version to version.
    pub(crate) on: &'static [Engine],
    pub(crate) why: &'static str,
}

const BOTH: &[Engine] = &[Sqlite, Postgres];

pub(crate) const EXEMPT: &[Exempt] = &[
    Exempt {
        method: "take",
        may: May::Sort,
        on: BOTH,
        why: "the budgets of one code, which are five: held in one order by everybody",
    },
    Exempt { method: "list_open", may: May::Sort, on: BOTH, why: "open rides alone, for operators and the fleet" },
    Exempt { method: "accepted_by", may: May::Sort, on: BOTH, why: "one driver's rides, from every shard" },
    Exempt {
        method: "latest_finished",
        may: May::ReadTheShard,
        on: BOTH,
        why: "the newest one, by the key's order; there are eleven at most",
    },
    Exempt { method: "begin", may: May::ReadTheShard, on: BOTH, why: "the newest twenty scans, by the key's order" },
    Exempt {
        method: "depth",
        may: May::ReadTheTable,
        on: &[Postgres],
        why: "it counts what waits, which is all of the table but the dead",
    },
    Exempt {
        method: "waiting_by_lane",
        may: May::ReadTheTable,
        on: BOTH,
        why: "it counts what waits, which is all of the table but the dead",
    },
    Exempt { method: "waiting_by_lane", may: May::Sort, on: &[Sqlite], why: "three lanes" },
    Exempt { method: "present", may: May::Use("ix_driver_rides_ride"), on: BOTH, why: THE_SAME_COLUMNS },
    Exempt { method: "exists", may: May::Use("ix_driver_rides_ride"), on: &[Postgres], why: THE_SAME_COLUMNS },
    Exempt { method: "forget", may: May::Use("ix_driver_rides_ride"), on: &[Postgres], why: THE_SAME_COLUMNS },
    Exempt {
        method: "find_owned",
        may: May::Use("ix_rides_passenger"),
        on: &[Postgres],
        why: "all columns of the primary key and whose ride it must be",
    },
    Exempt { method: "claim", may: May::Use("ix_barriers_due"), on: BOTH, why: HARDLY_TWO },
    Exempt { method: "claim", may: May::Use("ix_transactions_due"), on: &[Postgres], why: HARDLY_TWO },
    Exempt { method: "claim", may: May::Use("ix_outbox_due"), on: &[Postgres], why: HARDLY_TWO },
];

const THE_SAME_COLUMNS: &str = "those of the primary key in another order";
const HARDLY_TWO: &str = "hardly two are due in one millisecond, so that it looks as good as the whole primary key";

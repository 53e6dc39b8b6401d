//! Strangers and nonsense: every route, from the description and the source, asked in every wrong way. Each answer is
//! a whole problem and nothing else, and all of them stand in `tests/snapshots/problems.json`.

mod bodies;
mod nonsense;
mod paths;
mod snapshot;
mod table;
mod tokens;
mod world;

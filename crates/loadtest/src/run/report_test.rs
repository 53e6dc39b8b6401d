//! The whole page, of a sample.

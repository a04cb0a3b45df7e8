//! Everything that people read.

pub mod diagnostic;

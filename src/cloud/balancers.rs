//! Load balancers that are copied: what one is made of, and how another is made like it.

/// See the module.
pub trait Balancers {}

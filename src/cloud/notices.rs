//! Telling others: messages to a topic.

/// See the module.
pub trait Notices {}

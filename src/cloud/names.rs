//! Names: hosted zones and their records, in the words of Route 53.

/// See the module.
pub trait Names {}

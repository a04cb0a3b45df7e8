//! Names: hosted zones and their records, in the words of Route 53.

use super::Sim;
use crate::cloud::names::Names;

impl Names for Sim {}

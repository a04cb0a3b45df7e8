//! Names: hosted zones and their records, in the words of Route 53.

use super::Aws;
use crate::cloud::names::Names;

impl Names for Aws {}

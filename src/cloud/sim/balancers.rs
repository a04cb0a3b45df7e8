//! Load balancers that are copied: what one is made of, and how another is made like it.

use super::Sim;
use crate::cloud::balancers::Balancers;

impl Balancers for Sim {}

//! Telling others: messages to a topic.

use super::Sim;
use crate::cloud::notices::Notices;

impl Notices for Sim {}

//! Telling others: messages to a topic.

use super::Aws;
use crate::cloud::notices::Notices;

impl Notices for Aws {}

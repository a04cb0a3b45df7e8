//! Service discovery: Cloud Map services, what is registered there, and updates of an ECS service in place.

use super::Aws;
use crate::cloud::registries::Registries;

impl Registries for Aws {}

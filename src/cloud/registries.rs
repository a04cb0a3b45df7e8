//! Service discovery: Cloud Map services, what is registered there, and updates of an ECS service in place.

/// See the module.
pub trait Registries {}

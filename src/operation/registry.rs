//! The Cloud Map service that green needs where blue's takes no tasks without an IPv4 address.
//!
//! Nothing is deleted that does not bear this run's tag, and nothing in which instances are left: ECS
//! takes out what it put in, and this waits for it.

use super::green::unseen;
use super::{Outcome, REGISTRY, Scene};
use crate::cloud::registries::NewRegistry;
use crate::cloud::{Cause, CloudError};

pub(super) fn create(scene: &Scene, new: &NewRegistry) -> Result<Outcome, CloudError> {
    Ok(Outcome::made(REGISTRY, scene.cloud.create_registry(new)?))
}

pub(super) fn delete(scene: &Scene, new: &NewRegistry) -> Result<Outcome, CloudError> {
    let Some(registry) = scene.cloud.registry_named(&new.namespace, &new.name)? else {
        return Ok(unseen(scene, &new.name));
    };
    if registry.tags.get("migrate:run").map(String::as_str) != Some(scene.run) {
        return Ok(Outcome::done());
    }
    if registry.instances > 0 {
        let text = format!("{} instances are still registered in {}", registry.instances, registry.address());
        return Ok(Outcome::NotYet(text));
    }
    match scene.cloud.delete_registry(&registry.arn) {
        Ok(()) => Ok(Outcome::done()),
        Err(error) if error.cause == Cause::Refused && error.message.starts_with("ResourceInUse") => {
            Ok(Outcome::NotYet(format!("instances are still registered in {}", registry.address())))
        }
        Err(error) => Err(error),
    }
}

pub mod clock;
pub mod cloud;
pub mod finding;
pub mod gate;
pub mod inventory;
pub mod playbook;
pub mod traffic;

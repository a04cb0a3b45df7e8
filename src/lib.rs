pub mod finding;
pub mod playbook;
pub mod traffic;
pub mod report;

pub mod finding;
pub mod playbook;
pub mod report;
pub mod traffic;

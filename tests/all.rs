//! The one integration binary: one link instead of one for each file.

mod bench;
mod edge;
mod engine;
mod house;
mod playbook;
mod wire;

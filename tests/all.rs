//! The one integration binary: one link instead of one for each file.

mod engine;
mod playbook;
mod wire;

//! The one integration binary: one link instead of one for each file.

mod playbook;
mod wire;

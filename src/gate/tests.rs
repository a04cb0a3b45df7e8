//! The gate by table.

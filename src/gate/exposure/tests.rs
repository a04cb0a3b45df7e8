//! Bounds and what stages ask of each other, by hand.

//! The seven algorithms.

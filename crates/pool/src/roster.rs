//! The nodes balancing may choose from.

//! Everything ends within the limits.

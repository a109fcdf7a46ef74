//! Criterion and instruction-count benches of one hot module each.

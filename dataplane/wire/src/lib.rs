//! Bytes and meaning: one protocol a file, no_std, no unsafe, no panic.

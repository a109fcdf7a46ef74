//! What the table of connections promises.

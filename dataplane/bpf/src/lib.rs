//! The XDP programs, their committed objects, and the loader that attaches and pins them.

//! The words between daemon, command line and CNI shim.

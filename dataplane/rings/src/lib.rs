//! Packet memory and the rings shared with the kernel: the only unsafe code of Podlane.

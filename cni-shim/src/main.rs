//! The CNI plugin: stdin JSON, one request, stdout JSON.
fn main() {}

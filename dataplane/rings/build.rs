//! Tells the compiler that `--cfg loom` is a word this crate knows: the ring cursor's model is built under it.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(loom)");
    println!("cargo::rerun-if-changed=build.rs");
}

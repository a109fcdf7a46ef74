//! Offload: flows that an emulated engine carries, and everything that ends that.

mod bed;
mod carried;
mod differential;
mod twins;

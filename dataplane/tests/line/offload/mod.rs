//! Offload: flows that an emulated engine carries, and everything that ends that.

mod bed;
mod carried;
mod differential;
mod ended;
mod refused;
mod twins;

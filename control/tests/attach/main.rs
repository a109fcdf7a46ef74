//! Pods that are attached and detached, on real kernels: what a pod then has, what is left, and what a daemon that was killed takes up again.

#![allow(clippy::unwrap_used, reason = "a test without its ground has failed")]

mod bed;
mod devices;
mod kill;
mod life;
mod pace;
mod pods;
mod restart;
mod wire;

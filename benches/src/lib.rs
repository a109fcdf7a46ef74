//! Criterion and instruction-count benches of one hot module each.
//!
//! Here stands what the benches share: packets made ready ([`packets`]), ports that cost next to nothing ([`carousel`]), a real
//! worker between them ([`bed`]) and what it is to do with a packet ([`case`]), pods and policies for it to enforce ([`cluster`]), tables of
//! routes ([`routes`]), its stages alone ([`stages`], [`actions`]), how time is taken
//! and cases run ([`measure`], [`runs`]), and the lines a bench ends with
//! ([`verdict`]) and what it leaves behind ([`result`]). The benches themselves are in `benches/`.

pub mod actions;
pub mod bed;
pub mod carousel;
pub mod case;
pub mod cluster;
pub mod measure;
pub mod packets;
pub mod result;
pub mod routes;
pub mod runs;
pub mod stages;
pub mod verdict;

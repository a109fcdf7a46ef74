//! A packet's line, packet by packet: what goes in, what comes out, and the whole ledger between.

mod bridge;
mod checksums;
mod clamp;
mod dhcp;
mod errors;
mod fragments;
mod gateway;
mod guard;
mod isolation;
mod malformed;
mod meter;
mod multicast;
mod offload;
mod outer_mac;
mod packets;
mod parsers;
mod path_mtu;
mod policy;
mod route;
mod successor;
mod tunnel;
mod tunnel_malformed;
mod underlay;
mod vlan;

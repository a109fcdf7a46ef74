//! The CNI plugin: one call of a container runtime in, one request to the daemon, one answer out. It decides nothing of networks.
//!
//! ```text
//! runtime -- CNI_* and a configuration ---> podlane-cni --\
//!                                                          one request --> daemon
//! netavark -- a verb and a configuration -> podlane-cni --/
//! ```
//!
//! A runtime starts this program for every pod and every interface, so that it is small, linked statically and without a thread. What
//! it must decide itself is what to do while no daemon is there (`cni.rs`). Every wait for the daemon has an end (`daemon.rs`).

mod cni;
mod daemon;
mod failure;
mod netavark;

use std::io::{self, Read, Write};
use std::process::ExitCode;

/// The longest input that is read: a hundred times the longest that is to be expected, a list of all pods to be kept.
const MAX_INPUT: u64 = 8 * 1024 * 1024;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match arguments.next() {
        Some(verb) => netavark::main(&verb, arguments.next()),
        None => cni::main(),
    }
}

/// What came on standard input, bounded; the error is for people.
fn input() -> Result<String, String> {
    let mut text = String::new();
    let read = io::stdin().lock().take(MAX_INPUT + 1).read_to_string(&mut text);
    match read {
        Err(error) => Err(format!("standard input cannot be read: {error} (write a network configuration to it)")),
        Ok(_) if text.len() as u64 > MAX_INPUT => {
            Err(format!("what is on standard input is longer than {MAX_INPUT} bytes (is it a network configuration?)"))
        }
        Ok(_) => Ok(text),
    }
}

/// Prints one JSON document. A reader that is gone does not want it: the exit status tells all the same.
fn print(document: &serde_json::Value) {
    let _ = writeln!(io::stdout(), "{document}");
}

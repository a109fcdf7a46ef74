//! The Container Network Interface, as the daemon understands it: a runtime's call in, an order to attach out, and back.
//!
//! ```text
//! CniCall -> environment, netconf (with prevResult) -> Order, Key, Told -> attach
//!                        Value of the caller's version <- result <------ Attachment
//! ```
//!
//! One call is one file's worth of rules each: what the environment must have (`environment.rs`), which words of a configuration are ours
//! (`netconf.rs`), what plugins before us made (`previous.rs`), what is ordered (`order.rs`) and what is answered (`result.rs`). Only
//! `verbs.rs` knows that there is something to attach pods with. The specification is <https://www.cni.dev/docs/spec/>.

mod delegated;
mod environment;
mod error;
mod netconf;
mod order;
mod pods;
mod previous;
mod result;
mod verbs;
mod version;

pub use error::{CniError, code};
pub use verbs::{Pods, carry_out, key_of};
pub use version::Version;

#[cfg(test)]
mod tests;

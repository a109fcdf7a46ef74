//! The part of a verb that is an IPAM plugin's, where one gives the addresses. ADD and DEL have theirs while pods are attached and
//! detached, and what follows from a failure is decided there; these change nothing of ours.

use podlane_api::CniCall;
use serde::Deserialize;

use super::netconf::Ipam;
use super::order::OWN_IPAM;
use super::{CniError, code};
use crate::attach::forward;

#[derive(Deserialize)]
struct Delegating {
    ipam: Option<Ipam>,
}

/// Has the plugin do what was asked of us, if there is one.
///
/// # Errors
/// What it says.
pub(super) fn pass_on(command: &'static str, call: &CniCall) -> Result<(), CniError> {
    let Delegating { ipam } = serde_json::from_str(&call.config).map_err(|error| CniError::decode("ipam", error))?;
    let plugin = ipam.and_then(|ipam| ipam.plugin).filter(|plugin| !plugin.is_empty() && plugin != OWN_IPAM);
    let Some(plugin) = plugin else { return Ok(()) };
    forward(&plugin, command, call)
        .map_err(|error| CniError::new(code::IPAM_PLUGIN, "the IPAM plugin failed", error.to_string()))
}

//! The verbs: from a call to what attaches pods, and back.

use std::path::Path;

use podlane_api::{CNI_VERSIONS, CniCall};
use podlane_host::{HostError, Links, Netns};
use serde::Deserialize;
use serde_json::{Value, json};

use super::environment::{Environment, Needs};
use super::netconf::{Head, Netconf};
use super::order::{self, Maker};
use super::result::result;
use super::{CniError, Version, code, delegated};
use crate::attach::{Attachment, Key, Order, Origin, Told};

/// What carries calls out: the daemon's attachments, and in tests what stands for them.
pub trait Pods {
    /// Why it did not.
    type Error: Into<CniError>;

    /// Attaches; the same key twice is one attachment.
    ///
    /// # Errors
    /// The attachment could not be made, and nothing of it is left.
    fn attach(&self, order: Order) -> Result<Attachment, Self::Error>;

    /// Takes away an attachment; one that is not there is as good.
    ///
    /// # Errors
    /// It could not be taken away, or that not be written down.
    fn detach(&self, key: &Key) -> Result<(), Self::Error>;

    /// Whether an attachment is as it was promised, and as its caller was told.
    ///
    /// # Errors
    /// What is not so.
    fn check(&self, key: &Key, told: &Told) -> Result<(), Self::Error>;

    /// Takes away all of a list that is not valid; says what that was.
    ///
    /// # Errors
    /// Something could not be taken away.
    fn collect(&self, list: &str, valid: &[Key]) -> Result<Vec<Key>, Self::Error>;

    /// Whether a pod could be attached to a network.
    ///
    /// # Errors
    /// Why not, as STATUS says it: with one of the two codes that are its own.
    fn status(&self, network: &str) -> Result<(), CniError>;

    /// The name of the netdev here whose other end is `interface` in `netns`; none where it has no other end here.
    ///
    /// # Errors
    /// The namespace or the interface is not there.
    fn host_end(&self, netns: &Path, interface: &str) -> Result<Option<String>, CniError> {
        host_end(netns, interface)
    }
}

/// Carries a call out; the value is what the plugin prints, null where that is nothing.
///
/// # Errors
/// [`CniError`]: what the plugin prints then.
pub fn carry_out(pods: &impl Pods, call: &CniCall) -> Result<Value, CniError> {
    match call.command.as_str() {
        "ADD" => add(pods, call),
        "DEL" => del(pods, call).map(|()| Value::Null),
        "CHECK" => check(pods, call).map(|()| Value::Null),
        "GC" => collect(pods, call).map(|()| Value::Null),
        "STATUS" => status(pods, call).map(|()| Value::Null),
        "VERSION" => Ok(json!({ "cniVersion": Version::V1_1_0.as_str(), "supportedVersions": CNI_VERSIONS })),
        other => Err(CniError::environment(format!(
            "CNI_COMMAND is \"{other}\" (there are ADD, DEL, CHECK, GC, STATUS and VERSION)"
        ))),
    }
}

fn add(pods: &impl Pods, call: &CniCall) -> Result<Value, CniError> {
    let netconf = Netconf::of(&call.config)?;
    let environment = Environment::of(call, Needs::Namespace)?;
    let maker = maker(pods, &netconf, &environment)?;
    let order = order::order(&netconf, &environment, (&call.args, &call.path), &maker)?;
    let attachment = pods.attach(order).map_err(Into::into)?;
    Ok(result(&netconf, &attachment))
}

/// Who made the interface, if `prevResult` has it: the kernel says which of the netdevs in it is the other end.
fn maker(pods: &impl Pods, netconf: &Netconf, environment: &Environment) -> Result<Maker, CniError> {
    let (Some(previous), Some(netns)) = (&netconf.previous, &environment.netns) else { return Ok(Maker::Ours) };
    let interface = &environment.interface;
    if !previous.has(interface, netns) {
        return Ok(Maker::Ours);
    }
    let end = pods.host_end(netns, interface)?;
    end.filter(|end| previous.on_host().any(|name| name == end)).map(Maker::Another).ok_or_else(|| {
        CniError::configuration(format!(
            "{interface} was made by a plugin before this one, and has no host end in prevResult that could be a port (put podlane-cni \
             first, or behind bridge or ptp)"
        ))
    })
}

/// What a call is about, as far as it can be told.
#[must_use]
pub fn key_of(call: &CniCall) -> Option<Key> {
    let head = Head::of(&call.config).ok()?;
    let environment = Environment::of(call, Needs::Attachment).ok()?;
    Some(order::key(&head.name, &environment))
}

fn del(pods: &impl Pods, call: &CniCall) -> Result<(), CniError> {
    let head = Head::of(&call.config)?;
    let environment = Environment::of(call, Needs::Attachment)?;
    pods.detach(&order::key(&head.name, &environment)).map_err(Into::into)
}

fn check(pods: &impl Pods, call: &CniCall) -> Result<(), CniError> {
    let netconf = Netconf::of(&call.config)?;
    netconf.version.allows("CHECK", Version::V0_4_0)?;
    let environment = Environment::of(call, Needs::Namespace)?;
    let Some(previous) = &netconf.previous else {
        return Err(CniError::configuration("there is no \"prevResult\" (the runtime must give what ADD answered)"));
    };
    let netns = environment.netns.clone().unwrap_or_default();
    let told = previous.told(&environment.interface, &netns)?;
    pods.check(&order::key(&netconf.name, &environment), &told).map_err(Into::into)?;
    delegated::pass_on("CHECK", call)
}

/// What a runtime knows of, for GC. The specification's text once had the second name, so that runtimes give both.
#[derive(Deserialize)]
struct Valid {
    #[serde(rename = "cni.dev/valid-attachments")]
    valid: Option<Vec<ValidAttachment>>,
    #[serde(rename = "cni.dev/attachments")]
    attachments: Option<Vec<ValidAttachment>>,
}

#[derive(Deserialize)]
struct ValidAttachment {
    #[serde(rename = "containerID")]
    container: String,
    #[serde(rename = "ifname")]
    interface: String,
}

fn collect(pods: &impl Pods, call: &CniCall) -> Result<(), CniError> {
    let head = Head::of(&call.config)?;
    head.version.allows("GC", Version::V1_1_0)?;
    let Valid { valid, attachments } =
        serde_json::from_str(&call.config).map_err(|error| CniError::decode("cni.dev/valid-attachments", error))?;
    // Without the list everything would be taken away.
    let Some(attachments) = valid.or(attachments) else {
        return Err(CniError::configuration(
            "there are no \"cni.dev/valid-attachments\" (the runtime must list what is to stay)",
        ));
    };
    let key = |valid: ValidAttachment| {
        let ValidAttachment { container, interface } = valid;
        Key { origin: Origin::Cni, list: head.name.clone(), container, interface }
    };
    let valid: Vec<Key> = attachments.into_iter().map(key).collect();
    let collected = pods.collect(&head.name, &valid).map_err(Into::into)?;
    tracing::info!(
        list = head.name,
        valid = valid.len(),
        collected = collected.len(),
        "collected what no runtime knows of"
    );
    delegated::pass_on("GC", call)
}

fn status(pods: &impl Pods, call: &CniCall) -> Result<(), CniError> {
    let netconf = Netconf::of(&call.config)?;
    netconf.version.allows("STATUS", Version::V1_1_0)?;
    pods.status(netconf.network())?;
    let refused = |error: CniError| CniError::new(code::NOT_AVAILABLE, "no pod can be attached", error.to_string());
    delegated::pass_on("STATUS", call).map_err(refused)
}

fn host_end(netns: &Path, interface: &str) -> Result<Option<String>, CniError> {
    let failed = |error: HostError| {
        CniError::new(code::UNKNOWN_CONTAINER, "the interface of prevResult is not there", error.to_string())
    };
    let pod = Netns::open(netns).map_err(HostError::from).map_err(failed)?;
    let peer = Links::open_in(&pod).and_then(|mut links| links.by_name(interface)).map_err(failed)?.peer;
    let Some(peer) = peer else { return Ok(None) };
    match Links::open().and_then(|mut links| links.by_index(peer)) {
        Ok(link) => Ok(Some(link.name)),
        Err(HostError::NoSuchLink { .. }) => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

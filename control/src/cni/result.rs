//! What ADD answers: the attachment in the words of the caller's version, after what the plugins before us made.

use podlane_api::Gateway;
use serde_json::{Map, Value, json};

use super::Version;
use super::netconf::{Netconf, RuntimeDns};
use crate::attach::{Address, Attachment, Dns, Interface, Kind, PodRoute};

/// The result of ADD.
pub(super) fn result(netconf: &Netconf, attachment: &Attachment) -> Value {
    let mut result = netconf.previous.as_ref().map(|previous| previous.raw.clone()).unwrap_or_default();
    // Who was before us has told of the veth that became ours, and of all there is about it.
    if !matches!(attachment.order.kind, Kind::Taken { .. }) {
        add(&mut result, netconf.version, attachment);
    }
    result.insert("cniVersion".to_owned(), netconf.version.as_str().into());
    let mut dns = dns(netconf);
    if dns.is_empty() {
        // As bridge and ptp have it: what the configuration says counts before what the IPAM plugin does, as a whole.
        dns = given(&attachment.dns);
    }
    if !dns.is_empty() || !result.contains_key("dns") {
        result.insert("dns".to_owned(), Value::Object(dns));
    }
    Value::Object(result)
}

fn add(result: &mut Map<String, Value>, version: Version, attachment: &Attachment) {
    let mut interfaces = taken(result, "interfaces");
    interfaces.extend(attachment.host.iter().map(|host| interface(host, None, None)));
    // The pod's end comes last, and addresses are its own.
    let index = interfaces.len();
    interfaces.push(pod_end(version, attachment));
    let mut ips = taken(result, "ips");
    ips.extend(attachment.addresses.iter().map(|address| ip(version, address, index)));
    let mut routes = taken(result, "routes");
    routes.extend(attachment.routes.iter().map(|route| self::route(version, route)));
    for (name, list) in [("interfaces", interfaces), ("ips", ips), ("routes", routes)] {
        result.insert(name.to_owned(), Value::Array(list));
    }
}

/// The array of that name, out of the result; an empty one where there is none, or null.
fn taken(result: &mut Map<String, Value>, name: &str) -> Vec<Value> {
    match result.remove(name) {
        Some(Value::Array(list)) => list,
        _ => Vec::new(),
    }
}

fn ip(version: Version, Address { address, gateway }: &Address, interface: usize) -> Value {
    let mut ip = json!({ "address": address, "interface": interface });
    if let Some(gateway) = gateway {
        ip["gateway"] = json!(gateway);
    }
    if version < Version::V1_0_0 {
        ip["version"] = json!(family(*address));
    }
    ip
}

fn pod_end(version: Version, attachment: &Attachment) -> Value {
    let order = &attachment.order;
    let netns = order.netns.as_ref().map(|netns| netns.to_string_lossy().into_owned());
    let mtu = (version >= Version::V1_1_0).then_some(attachment.mtu);
    let mut end = match &attachment.pod {
        Some(pod) => interface(pod, netns.as_deref(), mtu),
        None => json!({ "name": order.key.interface, "sandbox": netns.unwrap_or_default() }),
    };
    if let (Some(socket), true) = (&attachment.socket, version >= Version::V1_1_0) {
        end["socketPath"] = json!(socket);
    }
    end
}

fn interface(Interface { name, mac }: &Interface, netns: Option<&str>, mtu: Option<u32>) -> Value {
    let mut interface = json!({ "name": name, "mac": mac });
    if let Some(netns) = netns {
        interface["sandbox"] = json!(netns);
    }
    if let Some(mtu) = mtu {
        interface["mtu"] = json!(mtu);
    }
    interface
}

fn route(version: Version, PodRoute { to, via, mtu }: &PodRoute) -> Value {
    let mut route = json!({ "dst": to });
    if let Some(via) = via {
        route["gw"] = json!(via);
    }
    if let (Some(mtu), true) = (mtu, version >= Version::V1_1_0) {
        route["mtu"] = json!(mtu);
    }
    route
}

fn family(address: Gateway) -> &'static str {
    if address.address().is_ipv4() { "4" } else { "6" }
}

/// What an IPAM plugin said of name servers.
fn given(dns: &Dns) -> Map<String, Value> {
    match json!(dns) {
        Value::Object(said) => said,
        _ => Map::new(),
    }
}

/// What the configuration says of name servers, or the runtime.
fn dns(netconf: &Netconf) -> Map<String, Value> {
    let RuntimeDns { servers, searches, options } = netconf.runtime().dns.unwrap_or_default();
    let mut dns = netconf.words.dns.clone().unwrap_or_default();
    for (word, said) in [("nameservers", servers), ("search", searches), ("options", options)] {
        if let Some(said) = said.filter(|said| !said.is_empty()) {
            dns.insert(word.to_owned(), json!(said));
        }
    }
    dns
}

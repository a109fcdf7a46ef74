//! What a pod's kernel has, in words that can be compared.

use std::collections::BTreeSet;
use std::process::Command;

use podlane_host::Netns;
use serde_json::Value;

/// A netdev with its addresses, and the routes by it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Interface {
    pub(crate) mac: String,
    pub(crate) mtu: u64,
    pub(crate) is_up: bool,
    /// Without link-local ones.
    pub(crate) addresses: BTreeSet<String>,
    /// `DESTINATION via GATEWAY`; those of IPv6 that the kernel makes by itself left out.
    pub(crate) routes: BTreeSet<String>,
}

/// What `ip` prints in JSON.
fn ip(netns: &Netns, arguments: &[&str]) -> Value {
    let output = netns.run(|| Command::new("ip").arg("-json").args(arguments).output()).unwrap().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
}

/// One interface; none where there is none of that name.
pub(crate) fn interface(netns: &Netns, name: &str) -> Option<Interface> {
    let found = ip(netns, &["address", "show", "dev", name]);
    let link = found.get(0)?;
    let addresses = link["addr_info"].as_array().unwrap().iter();
    let addresses = addresses.filter(|address| address["scope"] != "link");
    let routes = ["-4", "-6"].map(|family| ip(netns, &[family, "route", "show", "dev", name]));
    let routes = routes.iter().flat_map(|routes| routes.as_array().into_iter().flatten());
    let routes = routes.filter(|route| {
        let destination = route["dst"].as_str().unwrap();
        !destination.starts_with("fe80") && !destination.starts_with("ff00") && destination != "multicast"
    });
    Some(Interface {
        mac: link["address"].as_str().unwrap().to_owned(),
        mtu: link["mtu"].as_u64().unwrap(),
        is_up: link["flags"].as_array().unwrap().contains(&"UP".into()),
        addresses: addresses
            .map(|address| format!("{}/{}", address["local"].as_str().unwrap(), address["prefixlen"]))
            .collect(),
        routes: routes
            .map(|route| match route["gateway"].as_str() {
                Some(gateway) => format!("{} via {gateway}", route["dst"].as_str().unwrap()),
                None => route["dst"].as_str().unwrap().to_owned(),
            })
            .collect(),
    })
}

/// The names of all netdevs.
pub(crate) fn links(netns: &Netns) -> BTreeSet<String> {
    let found = ip(netns, &["link", "show"]);
    found.as_array().into_iter().flatten().map(|link| link["ifname"].as_str().unwrap().to_owned()).collect()
}

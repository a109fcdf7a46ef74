//! Pods of the namespace `shop`, each with its name as its label `app`.

use std::net::IpAddr;

use serde_json::{Value, json};

use crate::runtime::{List, ours};
use crate::support::Node;

/// The list of one of them, in the network `blue`.
pub(crate) fn list<'n>(node: &'n Node, name: &str) -> List<'n> {
    let mut plugin = ours(node);
    plugin["args"] = json!({"cni": {"labels": [{"key": "app", "value": name}]}});
    let mut list = List::new(node, "1.0.0", vec![plugin]);
    list.args = format!("IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME={name}");
    list
}

/// The first address of a result.
pub(crate) fn address(result: &Value) -> IpAddr {
    result["ips"][0]["address"].as_str().unwrap().split_once('/').unwrap().0.parse().unwrap()
}

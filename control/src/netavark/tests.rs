//! Netavark's calls as Podman makes them, answered from attachments that are only written down.

use podlane_api::NetavarkCall;
use serde_json::{Value, json};

use super::carry_out;
use crate::attach::on_paper::OnPaper;
use crate::attach::{Addressing, Attaches};

fn paper() -> OnPaper {
    OnPaper::with("blue", &["10.1.0.1/24", "fd00:1::1/64"])
}

fn call(on: &OnPaper, verb: &str, input: &Value) -> Result<Value, String> {
    let call = NetavarkCall { verb: verb.into(), netns: "/run/netns/c1".into(), input: input.to_string() };
    carry_out(on, &call).map_err(|error| error.to_string())
}

fn network(options: &Value, subnets: &Value) -> Value {
    json!({
        "name": "net1", "id": "2f259bab93aaaaa2542ba43ef33eb990", "driver": "podlane-cni", "network_interface": "",
        "created": "2026-11-21T20:00:00Z", "subnets": subnets, "ipv6_enabled": false, "internal": false,
        "dns_enabled": false, "ipam_options": {"driver": "host-local"}, "options": options
    })
}

fn container(id: &str, network: &Value, ips: &[&str]) -> Value {
    json!({
        "container_id": id, "container_name": format!("name-{id}"), "port_mappings": null, "network": network,
        "network_options": {"aliases": [id], "interface_name": "eth0", "static_ips": ips, "static_mac": "aa:bb:cc:dd:aa:00"}
    })
}

#[test]
fn a_network_is_completed_and_what_is_not_ours_stays_as_it_came() {
    let written = network(&Value::Null, &json!([{"subnet": "10.77.0.0/24"}]));
    let mut expected = written.clone();
    expected["subnets"] = json!([{"subnet": "10.77.0.0/24", "gateway": "10.77.0.1"}]);
    assert_eq!(call(&paper(), "create", &written).unwrap(), expected);
}

#[test]
fn a_network_that_joins_a_configured_one_has_its_subnets() {
    let completed = call(&paper(), "create", &network(&json!({"podlane.network": "blue"}), &Value::Null)).unwrap();
    let subnets = json!([
        {"subnet": "10.1.0.0/24", "gateway": "10.1.0.1"}, {"subnet": "fd00:1::/64", "gateway": "fd00:1::1"}
    ]);
    assert_eq!((&completed["subnets"], &completed["ipv6_enabled"]), (&subnets, &json!(true)));
}

#[test]
fn a_network_is_there_while_containers_are_in_it() {
    let on = paper();
    let network = call(&on, "create", &network(&json!({"mtu": "1400"}), &json!([{"subnet": "10.77.0.0/24"}]))).unwrap();
    assert_eq!(on.made(), []);
    let (one, two) = (container("c1", &network, &["10.77.0.2"]), container("c2", &network, &["10.77.0.3"]));
    let status = json!({
        "dns_search_domains": [], "dns_server_ips": [],
        "interfaces": {"eth0": {"mac_address": "aa:bb:cc:dd:aa:00", "subnets": [{"ipnet": "10.77.0.2/24", "gateway": "10.77.0.1"}]}}
    });
    assert_eq!(call(&on, "setup", &one).unwrap(), status);
    call(&on, "setup", &two).unwrap();
    assert_eq!((on.made().len(), on.attached().len()), (1, 2));
    let order = &on.attached()[0].order;
    assert_eq!((order.network.as_str(), order.mtu, order.default_route), ("podman-2f259bab93aa", Some(1400), true));
    assert_eq!(order.notes["container"], "name-c1");
    assert_eq!(call(&on, "teardown", &one).unwrap(), Value::Null);
    assert_eq!(on.made().len(), 1);
    call(&on, "teardown", &two).unwrap();
    call(&on, "teardown", &two).unwrap();
    assert_eq!((on.made(), on.attached()), (vec![], vec![]));
}

#[test]
fn without_an_ipam_driver_the_addresses_are_ours() {
    let on = paper();
    let mut network = network(&json!({"podlane.network": "blue"}), &Value::Null);
    network["ipam_options"]["driver"] = "none".into();
    let network = call(&on, "create", &network).unwrap();
    let status = call(&on, "setup", &container("c1", &network, &[])).unwrap();
    let subnets = json!([
        {"ipnet": "10.1.0.2/24", "gateway": "10.1.0.1"}, {"ipnet": "fd00:1::2/64", "gateway": "fd00:1::1"}
    ]);
    assert_eq!(status["interfaces"]["eth0"]["subnets"], subnets);
    assert!(matches!(&on.attached()[0].order.addressing, Addressing::Own { wished } if wished.is_empty()));
}

#[test]
fn what_cannot_be_done_says_why_and_what_to_do_and_leaves_nothing() {
    let on = paper();
    let subnets = json!([{"subnet": "10.77.0.0/24"}]);
    let mut dhcp = network(&Value::Null, &subnets);
    dhcp["ipam_options"]["driver"] = "dhcp".into();
    for (written, expected) in [
        (network(&json!({"mtu": "9"}), &subnets), "mtu=9: write a number of bytes from 68 to 65535"),
        (
            network(&json!({"podlane.vni": "7"}), &subnets),
            "podlane makes no network for podlane.vni: a network between nodes is in the configuration of each of them, with its peers and the pods behind them (write vni under [[network]], and join that network with podlane.network=NAME)",
        ),
        (
            network(&json!({"podlane.netwrk": "blue"}), &subnets),
            "podlane knows no option podlane.netwrk, perhaps podlane.network (it knows podlane.network, podlane.vrf, mtu)",
        ),
        (
            network(&json!({"podlane.network": "red"}), &Value::Null),
            "podlane has no network red (podlane status lists them)",
        ),
        (
            network(&json!({"podlane.network": "blue"}), &subnets),
            "10.77.0.0/24 with the gateway 10.77.0.1 is not of network blue (leave out --subnet and --gateway)",
        ),
        (
            network(&Value::Null, &Value::Null),
            "a network of podlane's needs a subnet (give one with --subnet, or join a configured network with -o podlane.network=NAME)",
        ),
        (
            network(&Value::Null, &json!([{"subnet": "10.77.0.0/24", "gateway": "10.78.0.1"}])),
            "the gateway 10.78.0.1 is not in 10.77.0.0/24 (give another --gateway)",
        ),
        (
            dhcp,
            "podlane has no IPAM driver dhcp (write --ipam-driver host-local, or --ipam-driver none to have podlane choose the addresses)",
        ),
    ] {
        assert_eq!(call(&on, "create", &written).unwrap_err(), expected);
    }
    let network = network(&Value::Null, &subnets);
    let mut publishing = container("c1", &network, &["10.77.0.2"]);
    publishing["port_mappings"] =
        json!([{"container_port": 80, "host_ip": "", "host_port": 8080, "protocol": "tcp", "range": 1}]);
    assert!(call(&on, "setup", &publishing).unwrap_err().starts_with("podlane publishes no ports"));
    let outside = call(&on, "setup", &container("c1", &network, &["10.78.0.2"])).unwrap_err();
    assert_eq!(outside, "10.78.0.2 is in no subnet of network net1 (give another --ip)");
    assert!(call(&on, "create", &json!([])).unwrap_err().starts_with("create came with what cannot be read"));
    assert!(call(&on, "fly", &json!({})).unwrap_err().starts_with("podlane knows no verb fly"));
    assert_eq!((on.made(), on.attached()), (vec![], vec![]));
}

#[test]
fn the_plugin_says_its_version_and_the_api_s() {
    let info = call(&paper(), "info", &Value::Null).unwrap();
    assert_eq!(info, json!({"version": env!("CARGO_PKG_VERSION"), "api_version": "1.0.0"}));
}

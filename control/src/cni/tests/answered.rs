//! What ADD answers.

use super::*;
use crate::attach::Dns;
use crate::cni::netconf::Netconf;
use crate::cni::result;

fn added(version: &str, more: &Value) -> Value {
    carry_out(&OnPaper::default(), &call("ADD", &netconf(version, more))).unwrap()
}

#[test]
fn from_1_1_the_result_tells_mtus() {
    let expected = json!({
        "cniVersion": "1.1.0",
        "interfaces": [
            {"name": "pl0123456789a", "mac": "02:00:00:00:00:0a"},
            {"name": "eth0", "mac": "02:00:00:00:00:0b", "sandbox": NETNS, "mtu": 1450},
        ],
        "ips": [
            {"address": "10.1.0.2/24", "gateway": "10.1.0.1", "interface": 1},
            {"address": "fd00:1::2/64", "gateway": "fd00:1::1", "interface": 1},
        ],
        "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.0.1"}, {"dst": "10.9.0.0/16", "gw": "10.1.0.1", "mtu": 1400}],
        "dns": {},
    });
    assert_eq!(added("1.1.0", &json!({})), expected);
}

#[test]
fn before_1_1_it_has_no_mtus_and_before_1_0_addresses_say_their_family() {
    let result = added("1.0.0", &json!({}));
    assert_eq!(result["cniVersion"], "1.0.0");
    assert!(result["interfaces"][1].get("mtu").is_none() && result["routes"][1].get("mtu").is_none());
    assert!(result["ips"][0].get("version").is_none());
    for version in ["0.3.0", "0.3.1", "0.4.0"] {
        let result = added(version, &json!({}));
        assert_eq!(result["cniVersion"], version);
        assert_eq!((&result["ips"][0]["version"], &result["ips"][1]["version"]), (&json!("4"), &json!("6")));
        assert!(result["interfaces"][1].get("mtu").is_none());
    }
}

#[test]
fn name_servers_are_the_configurations_unless_the_runtime_has_others() {
    let dns = json!({"nameservers": ["10.1.0.1"], "domain": "blue"});
    assert_eq!(added("1.0.0", &json!({"dns": dns}))["dns"], dns);
    let runtime = json!({"dns": dns, "runtimeConfig": {"dns": {"servers": ["10.1.0.53"], "searches": []}}});
    assert_eq!(added("1.0.0", &runtime)["dns"], json!({"nameservers": ["10.1.0.53"], "domain": "blue"}));
}

#[test]
fn name_servers_of_an_ipam_plugin_count_where_nobody_else_names_any() {
    let of_plugin = |more: &Value| {
        let netconf = Netconf::of(&netconf("1.0.0", more).to_string()).unwrap();
        let nameservers = vec!["10.1.0.2".to_owned()];
        let dns = Dns { nameservers, domain: Some("shop".to_owned()), ..Dns::default() };
        let order = ordered("1.0.0", &json!({}));
        result::result(&netconf, &Attachment { dns, ..attachment(order) })["dns"].clone()
    };
    assert_eq!(of_plugin(&json!({})), json!({"nameservers": ["10.1.0.2"], "domain": "shop"}));
    // As a whole: its domain would not go with the other's servers.
    let configured = json!({"nameservers": ["10.1.0.53"]});
    assert_eq!(of_plugin(&json!({"dns": configured})), configured);
}

#[test]
fn a_vhost_user_port_is_told_by_its_socket_and_only_where_there_is_a_word_for_it() {
    let result = added("1.1.0", &json!({"kind": "vhost-user"}));
    let socket = "/run/podlane/vhost/pl0123456789a/vhost.sock";
    assert_eq!(result["interfaces"], json!([{"name": "eth0", "sandbox": NETNS, "socketPath": socket}]));
    assert_eq!(refused("ADD", &netconf("1.0.0", &json!({"kind": "vhost-user"}))).code, 2);
}

#[test]
fn a_host_device_has_no_host_end() {
    let result = added("1.1.0", &json!({"kind": "host-device", "device": "eth1"}));
    assert_eq!(result["interfaces"].as_array().unwrap().len(), 1);
    assert_eq!(result["ips"][0]["interface"], 0);
}

//! What comes after another plugin.

use super::*;

fn after_bridge(version: &str) -> Value {
    let mut result = json!({
        "cniVersion": version,
        "interfaces": [
            {"name": "cni0", "mac": "02:00:00:00:01:00"},
            {"name": "veth1234", "mac": "02:00:00:00:01:01"},
            {"name": "eth0", "mac": "02:00:00:00:01:02", "sandbox": NETNS},
        ],
        "ips": [{"address": "10.88.0.5/16", "gateway": "10.88.0.1", "interface": 2}],
        "routes": [{"dst": "0.0.0.0/0", "scope": 7}],
        "dns": {"nameservers": ["10.88.0.1"]},
    });
    if version < "1.0.0" {
        result["ips"][0]["version"] = "4".into();
    }
    result
}

#[test]
fn behind_bridge_the_host_end_is_taken_over_and_the_result_passed_on_as_it_came() {
    for version in ["0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
        let previous = after_bridge(version);
        let conf = netconf(version, &json!({"prevResult": previous}));
        let pods = OnPaper { host_end: Some("veth1234".to_owned()), ..OnPaper::default() };
        assert_eq!(carry_out(&pods, &call("ADD", &conf)).unwrap(), previous);
        let order = pods.ordered();
        assert_eq!(order.kind, Kind::Taken { host: "veth1234".to_owned() });
        let address = Address { address: "10.88.0.5/16".parse().unwrap(), gateway: Some("10.88.0.1".parse().unwrap()) };
        assert_eq!(order.addressing, Addressing::Given { addresses: vec![address] });
        assert_eq!((order.default_route, order.routes.len(), order.mac), (false, 0, None));
    }
}

#[test]
fn an_interface_without_a_host_end_cannot_be_taken() {
    for host_end in [None, Some("eth7".to_owned())] {
        let pods = OnPaper { host_end, ..OnPaper::default() };
        let conf = netconf("1.0.0", &json!({"prevResult": after_bridge("1.0.0")}));
        let error = carry_out(&pods, &call("ADD", &conf)).unwrap_err();
        assert_eq!((error.code, pods.asked().len()), (7, 0), "{error}");
    }
}

#[test]
fn behind_a_plugin_that_made_another_interface_ours_is_added() {
    let previous = json!({
        "cniVersion": "1.1.0",
        "interfaces": [{"name": "lo", "mac": "00:00:00:00:00:00", "sandbox": NETNS, "mtu": 65536}],
        "ips": [{"address": "127.0.0.1/8", "interface": 0}],
        "vendor": {"kept": true},
    });
    let pods = OnPaper::default();
    let result = carry_out(&pods, &call("ADD", &netconf("1.1.0", &json!({"prevResult": previous})))).unwrap();
    assert_eq!(pods.ordered().kind, Kind::Veth);
    let names: Vec<_> = result["interfaces"].as_array().unwrap().iter().map(|of| of["name"].as_str()).collect();
    assert_eq!(names, [Some("lo"), Some("pl0123456789a"), Some("eth0")]);
    let of: Vec<_> = result["ips"].as_array().unwrap().iter().map(|ip| ip["interface"].as_u64()).collect();
    assert_eq!(of, [Some(0), Some(2), Some(2)]);
    assert_eq!(result["vendor"], json!({"kept": true}));
    assert_eq!(result["interfaces"][0]["mtu"], 65536);
}

#[test]
fn kinds_that_make_an_interface_do_not_go_with_one_that_is_made() {
    for more in [json!({"kind": "vhost-user"}), json!({"kind": "host-device", "device": "eth1"})] {
        let mut conf = netconf("1.1.0", &more);
        conf["prevResult"] = after_bridge("1.1.0");
        let pods = OnPaper { host_end: Some("veth1234".to_owned()), ..OnPaper::default() };
        assert_eq!(carry_out(&pods, &call("ADD", &conf)).unwrap_err().code, 7);
    }
}

#[test]
fn check_holds_the_attachment_to_what_the_caller_was_told() {
    let pods = OnPaper::default();
    let conf = netconf("1.0.0", &json!({"prevResult": after_bridge("1.0.0")}));
    assert_eq!(carry_out(&pods, &call("CHECK", &conf)), Ok(Value::Null));
    let Some(Asked::Check(of, told)) = pods.asked().pop() else { panic!("{:?}", pods.asked()) };
    assert_eq!(of, key());
    assert_eq!(told.addresses.len(), 1);
    assert_eq!(told.routes[0].to, "0.0.0.0/0".parse().unwrap());
    let pod_end = &told.interfaces[2];
    assert_eq!(pod_end.name, "eth0");
    assert_eq!(pod_end.netns.as_deref(), Some(Path::new(NETNS)));
    assert_eq!(pod_end.mac, Some("02:00:00:00:01:02".parse().unwrap()));
}

#[test]
fn what_is_no_result_is_refused() {
    for (previous, code) in [
        (json!([]), 6),
        (json!({"interfaces": [{}]}), 6),
        (json!({"ips": [{"address": "10.1.0.2"}]}), 6),
        (json!({"ips": [{"address": "10.1.0.2/24", "interface": 0}]}), 6),
        (json!({"routes": [{"dst": "default"}]}), 6),
        (json!({"cniVersion": "9.0.0"}), 1),
        (json!({"cniVersion": "0.4.0"}), 7),
    ] {
        assert_eq!(refused("ADD", &netconf("1.0.0", &json!({"prevResult": previous}))).code, code, "{previous}");
    }
}

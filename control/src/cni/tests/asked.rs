//! What each verb has the attachments do.

use super::*;

#[test]
fn add_orders_a_veth_with_addresses_of_ours() {
    let mut call = call("ADD", &netconf("1.1.0", &json!({"mtu": 1400})));
    call.args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=blue;K8S_POD_NAME=web;K8S_POD_UID=0a1b".to_owned();
    let pods = OnPaper::default();
    carry_out(&pods, &call).unwrap();
    let order = pods.ordered();
    assert_eq!(order.key, key());
    assert_eq!((order.kind, order.network.as_str(), order.mtu), (Kind::Veth, "blue", Some(1400)));
    assert_eq!(order.addressing, Addressing::Own { wished: Vec::new() });
    assert!(order.default_route);
    assert_eq!(order.netns, Some(NETNS.into()));
    assert_eq!(order.pod, Some(("blue".to_owned(), "web".to_owned())));
    assert_eq!(order.notes, [("K8S_POD_UID".to_owned(), "0a1b".to_owned())].into());
}

#[test]
fn the_network_is_the_lists_unless_one_is_named() {
    let conf = json!({"cniVersion": "1.0.0", "name": "green", "type": "podlane-cni"});
    let pods = OnPaper::default();
    carry_out(&pods, &call("ADD", &conf)).unwrap();
    let order = pods.ordered();
    assert_eq!((order.network.as_str(), order.addressing), ("green", Addressing::None));
    assert!(!order.default_route);
}

#[test]
fn the_runtime_may_wish_for_addresses_a_mac_and_rates() {
    let runtime = json!({
        "ips": ["10.1.0.9/24", "fd00:1::9"], "mac": "02:00:00:00:00:99",
        "bandwidth": {"ingressRate": 8_000_000, "ingressBurst": 2_147_483_647, "egressRate": 1_000_000_000},
        "portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}],
        "aliases": {"pods": ["web", "shop"], "others": ["x"]},
    });
    let order = ordered("1.0.0", &json!({"runtimeConfig": runtime}));
    let wished = vec!["10.1.0.9".parse().unwrap(), "fd00:1::9".parse().unwrap()];
    assert_eq!(order.addressing, Addressing::Own { wished });
    assert_eq!(order.mac, Some("02:00:00:00:00:99".parse().unwrap()));
    let (ingress, egress) = (order.rates.ingress.unwrap(), order.rates.egress.unwrap());
    assert_eq!((ingress.rate, ingress.burst), (8_000_000, 2_147_483_647));
    assert_eq!((egress.rate, egress.burst), (1_000_000_000, 250_000_000));
    assert_eq!(order.notes, [("aliases".to_owned(), "web,shop".to_owned())].into());
}

#[test]
fn labels_are_those_of_the_conventional_args() {
    let labels = json!([{"key": "app", "value": "shop"}, {"key": "tier", "value": "web"}]);
    let order = ordered("1.0.0", &json!({"args": {"cni": {"labels": labels}}}));
    let expected = [("app", "shop"), ("tier", "web")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(order.labels, expected.into());
}

#[test]
fn another_ipam_is_run_with_what_we_were_given() {
    let conf = netconf("1.0.0", &json!({"ipam": {"type": "host-local", "subnet": "10.1.0.0/24"}}));
    let pods = OnPaper::default();
    let mut call = call("ADD", &conf);
    call.args = "IP=10.1.0.7".to_owned();
    carry_out(&pods, &call).unwrap();
    let Addressing::Delegated { plugin, path, config, args } = pods.ordered().addressing else { panic!() };
    assert_eq!((plugin.as_str(), args.as_str()), ("host-local", "IP=10.1.0.7"));
    assert_eq!(path, [PathBuf::from("/opt/cni/bin"), PathBuf::from("/usr/lib/cni")]);
    assert_eq!(serde_json::from_str::<Value>(&config).unwrap(), conf);
    call.path = String::new();
    assert_eq!(carry_out(&pods, &call).unwrap_err().code, 4);
}

#[test]
fn without_ipam_addresses_may_be_given_whole() {
    let order = ordered("1.0.0", &json!({"ipam": {}, "runtimeConfig": {"ips": ["10.1.0.9/24"]}}));
    let address = Address { address: "10.1.0.9/24".parse().unwrap(), gateway: None };
    assert_eq!(order.addressing, Addressing::Given { addresses: vec![address] });
}

#[test]
fn routes_and_the_default_route_are_said_with_the_ipam() {
    let ipam = json!({"type": "podlane", "routes": [{"dst": "10.9.0.0/16", "gw": "10.1.0.254", "mtu": 1400}]});
    let order = ordered("1.0.0", &json!({"ipam": ipam, "defaultRoute": false}));
    assert_eq!((order.default_route, order.routes.len()), (false, 1));
    assert_eq!(order.routes[0].mtu, Some(1400));
}

#[test]
fn del_goes_by_the_name_alone_whatever_else_is_wrong() {
    let mut call = call("DEL", &netconf("0.3.1", &json!({"kind": 7, "mut": 1, "prevResult": "gone"})));
    call.netns = String::new();
    call.path = String::new();
    let pods = OnPaper::default();
    assert_eq!(carry_out(&pods, &call), Ok(Value::Null));
    assert_eq!(pods.asked(), [Asked::Detach(key())]);
}

#[test]
fn gc_keeps_what_is_listed_by_either_name() {
    for names in [vec!["cni.dev/valid-attachments"], vec!["cni.dev/valid-attachments", "cni.dev/attachments"]] {
        let mut conf = netconf("1.1.0", &json!({}));
        for name in names {
            conf[name] = json!([{"containerID": "4f2a", "ifname": "eth0"}]);
        }
        let pods = OnPaper::default();
        assert_eq!(carry_out(&pods, &call("GC", &conf)), Ok(Value::Null));
        assert_eq!(pods.asked(), [Asked::Collect("pods".to_owned(), vec![key()])]);
    }
}

#[test]
fn gc_without_a_list_takes_nothing_away() {
    assert_eq!(refused("GC", &netconf("1.1.0", &json!({}))).code, 7);
    let conf = netconf("1.1.0", &json!({"cni.dev/valid-attachments": [{"containerID": "a"}]}));
    assert_eq!(refused("GC", &conf).code, 6);
}

#[test]
fn status_is_of_the_network_and_of_a_code_of_its_own() {
    let conf = netconf("1.1.0", &json!({}));
    let pods = OnPaper::default();
    assert_eq!(carry_out(&pods, &call("STATUS", &conf)), Ok(Value::Null));
    assert_eq!(pods.asked(), [Asked::Status("blue".to_owned())]);
    let pods = OnPaper { is_out_of_order: true, ..OnPaper::default() };
    assert_eq!(carry_out(&pods, &call("STATUS", &conf)).unwrap_err().code, 50);
}

#[test]
fn an_error_of_the_attachments_keeps_its_code() {
    let pods = OnPaper { is_out_of_order: true, ..OnPaper::default() };
    for verb in ["ADD", "DEL"] {
        assert_eq!(carry_out(&pods, &call(verb, &netconf("1.1.0", &json!({})))).unwrap_err().code, 11);
    }
}

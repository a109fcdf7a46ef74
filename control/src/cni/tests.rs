//! Calls as runtimes make them, against attachments that are only written down.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use podlane_api::CniCall;
use serde_json::{Value, json};

use super::*;
use crate::attach::{Address, Addressing, Attachment, Interface, Key, Kind, Order, Origin, PodRoute, Stage, Told};

const NETNS: &str = "/run/netns/blue";

/// Attachments on paper: what was asked is remembered, what is answered is fixed.
#[derive(Default)]
struct OnPaper {
    asked: Mutex<Vec<Asked>>,
    host_end: Option<String>,
    is_out_of_order: bool,
}

#[derive(Clone, PartialEq, Debug)]
enum Asked {
    Attach(Box<Order>),
    Detach(Key),
    Check(Key, Told),
    Collect(String, Vec<Key>),
    Status(String),
}

impl OnPaper {
    fn note(&self, asked: Asked) -> Result<(), CniError> {
        if self.is_out_of_order {
            return Err(CniError::new(code::TRY_AGAIN, "busy", "try again"));
        }
        self.asked.lock().unwrap().push(asked);
        Ok(())
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    fn ordered(&self) -> Order {
        match self.asked().pop() {
            Some(Asked::Attach(order)) => *order,
            other => panic!("{other:?} is no order"),
        }
    }
}

impl Pods for OnPaper {
    type Error = CniError;

    fn attach(&self, order: Order) -> Result<Attachment, CniError> {
        self.note(Asked::Attach(Box::new(order.clone())))?;
        Ok(attachment(order))
    }

    fn detach(&self, key: &Key) -> Result<(), CniError> {
        self.note(Asked::Detach(key.clone()))
    }

    fn check(&self, key: &Key, told: &Told) -> Result<(), CniError> {
        self.note(Asked::Check(key.clone(), told.clone()))
    }

    fn collect(&self, list: &str, valid: &[Key]) -> Result<Vec<Key>, CniError> {
        self.note(Asked::Collect(list.to_owned(), valid.to_vec()))?;
        Ok(Vec::new())
    }

    fn status(&self, network: &str) -> Result<(), CniError> {
        self.note(Asked::Status(network.to_owned())).map_err(|busy| CniError { code: code::NOT_AVAILABLE, ..busy })
    }

    fn host_end(&self, _: &Path, _: &str) -> Result<Option<String>, CniError> {
        Ok(self.host_end.clone())
    }
}

/// What comes of an order: two addresses, two routes.
fn attachment(order: Order) -> Attachment {
    let interface =
        |name: &str, last| Interface { name: name.to_owned(), mac: format!("02:00:00:00:00:{last}").parse().unwrap() };
    let (host, pod, socket) = match &order.kind {
        Kind::Veth | Kind::Taken { .. } => {
            (Some(interface("pl0123456789a", "0a")), Some(interface(&order.key.interface, "0b")), None)
        }
        Kind::HostDevice { .. } => (None, Some(interface(&order.key.interface, "0b")), None),
        Kind::VhostUser => (None, None, Some(PathBuf::from("/run/podlane/vhost/pl0123456789a/vhost.sock"))),
    };
    let address = |address: &str, gateway: &str| Address {
        address: address.parse().unwrap(),
        gateway: Some(gateway.parse().unwrap()),
    };
    let route = |to: &str, via: &str, mtu| PodRoute { to: to.parse().unwrap(), via: Some(via.parse().unwrap()), mtu };
    Attachment {
        order,
        stage: Stage::Up,
        port: "pl0123456789a".to_owned(),
        host,
        pod,
        socket,
        addresses: vec![address("10.1.0.2/24", "10.1.0.1"), address("fd00:1::2/64", "fd00:1::1")],
        routes: vec![route("0.0.0.0/0", "10.1.0.1", None), route("10.9.0.0/16", "10.1.0.1", Some(1400))],
        dns: Default::default(),
        mtu: 1450,
        since: 0,
    }
}

fn netconf(version: &str, more: &Value) -> Value {
    let mut conf = json!({
        "cniVersion": version, "name": "pods", "type": "podlane-cni", "network": "blue", "ipam": {"type": "podlane"}
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        conf[key] = value.clone();
    }
    conf
}

fn call(command: &str, config: &Value) -> CniCall {
    CniCall {
        command: command.to_owned(),
        container_id: "4f2a".to_owned(),
        netns: NETNS.to_owned(),
        ifname: "eth0".to_owned(),
        args: String::new(),
        path: "/opt/cni/bin:/usr/lib/cni".to_owned(),
        config: config.to_string(),
    }
}

fn key() -> Key {
    Key { origin: Origin::Cni, list: "pods".to_owned(), container: "4f2a".to_owned(), interface: "eth0".to_owned() }
}

fn ordered(version: &str, more: &Value) -> Order {
    let pods = OnPaper::default();
    carry_out(&pods, &call("ADD", &netconf(version, more))).unwrap();
    pods.ordered()
}

fn refused(command: &str, config: &Value) -> CniError {
    let pods = OnPaper::default();
    let error = carry_out(&pods, &call(command, config)).unwrap_err();
    assert_eq!(pods.asked(), [], "{config}");
    assert!(error.details.ends_with(')') || error.code == code::TRY_AGAIN, "a remedy ends {error}");
    error
}

mod chained {
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
            let address =
                Address { address: "10.88.0.5/16".parse().unwrap(), gateway: Some("10.88.0.1".parse().unwrap()) };
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
}

mod answered {
    use super::*;

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
}

mod asked {
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
}

mod refusals {
    use super::*;

    #[test]
    fn verbs_need_their_version() {
        assert_eq!(refused("CHECK", &netconf("0.3.1", &json!({}))).code, 1);
        assert_eq!(refused("GC", &netconf("1.0.0", &json!({}))).code, 1);
        assert_eq!(refused("STATUS", &netconf("1.0.0", &json!({}))).code, 1);
        for verb in ["ADD", "DEL", "CHECK", "GC", "STATUS"] {
            assert_eq!(refused(verb, &netconf("0.2.0", &json!({}))).code, 1, "{verb}");
        }
    }

    #[test]
    fn check_without_a_result_to_hold_to_is_refused() {
        assert_eq!(refused("CHECK", &netconf("1.0.0", &json!({}))).code, 7);
        assert_eq!(refused("CHECK", &netconf("1.0.0", &json!({"prevResult": null}))).code, 7);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_code() {
        for (more, code, names) in [
            (json!({"name": "a/b"}), 7, "a/b"),
            (json!({"name": null}), 7, "\"name\""),
            (json!({"netwrok": "blue", "network": null}), 7, "netwrok"),
            (json!({"kid": "veth"}), 7, "did you mean \"kind\""),
            (json!({"kind": "macvtap"}), 7, "macvtap"),
            (json!({"kind": "host-device"}), 7, "device"),
            (json!({"device": "eth1"}), 7, "eth1"),
            (json!({"mtu": "big"}), 6, "network configuration"),
            (json!({"mtu": -1}), 6, "network configuration"),
            (json!({"ipam": {"type": "../sh"}}), 7, "../sh"),
            (json!({"runtimeConfig": {"mac": "zz"}}), 6, "runtimeConfig.mac"),
            (json!({"runtimeConfig": {"ips": ["10.1.0"]}}), 6, "runtimeConfig.ips"),
            (json!({"ipam": null, "runtimeConfig": {"ips": ["10.1.0.9"]}}), 6, "10.1.0.9"),
            (json!({"runtimeConfig": {"bandwidth": {"ingressBurst": 5}}}), 7, "ingressRate"),
            (json!({"args": {"cni": {"labels": {"app": "x"}}}}), 6, "network configuration"),
        ] {
            let mut conf = netconf("1.1.0", &more);
            conf.as_object_mut().unwrap().retain(|key, value| key != "network" || !value.is_null());
            let error = refused("ADD", &conf);
            assert_eq!(error.code, code, "{more}: {error}");
            assert!(error.details.contains(names), "{more}: {error}");
        }
    }

    #[test]
    fn words_of_others_are_none_of_our_business() {
        let others = json!({
            "isGateway": true, "ipMasq": true, "logLevel": "debug", "capabilities": {"mac": true}, "bridge": "cni0",
            "disableCheck": false, "cni.dev/valid-attachments": [], "deviceID": "0000:00:01.0", "device": "eth1", "kind": "host-device"
        });
        assert_eq!(ordered("1.0.0", &others).kind, Kind::HostDevice { device: "eth1".to_owned() });
    }

    #[test]
    fn what_is_no_configuration_is_refused() {
        for text in ["", "{", "[]", "\"x\"", "nonsense"] {
            let call = CniCall { config: text.to_owned(), ..call("ADD", &json!({})) };
            assert_eq!(carry_out(&OnPaper::default(), &call).unwrap_err().code, 6, "{text}");
        }
    }

    #[test]
    fn a_verb_that_is_none_is_refused_and_version_is_answered() {
        assert_eq!(refused("FLY", &netconf("1.1.0", &json!({}))).code, 4);
        let answer = carry_out(&OnPaper::default(), &call("VERSION", &json!({}))).unwrap();
        assert_eq!(answer["supportedVersions"], json!(["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]));
    }
}

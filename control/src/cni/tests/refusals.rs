//! What is refused, and how it is said.

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

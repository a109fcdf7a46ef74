use std::collections::BTreeMap;

use super::*;
use crate::attach::{Key, Kind, Origin};

fn order(plugin: &str, args: &str) -> Order {
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plugins");
    Order {
        key: Key {
            origin: Origin::Cni,
            list: "podnet".to_owned(),
            container: "c0ffee".to_owned(),
            interface: "eth1".to_owned(),
        },
        kind: Kind::Veth,
        netns: Some("/run/netns/gone".into()),
        network: "blue".to_owned(),
        mac: None,
        addressing: Addressing::Delegated {
            plugin: plugin.to_owned(),
            path: vec!["/nowhere".into(), plugins],
            config: format!("{{\"ipam\":{{\"type\":\"{plugin}\"}}}}"),
            args: args.to_owned(),
        },
        mtu: None,
        default_route: true,
        routes: Vec::new(),
        rates: podlane_api::Rates::default(),
        pod: None,
        labels: BTreeMap::new(),
        notes: BTreeMap::new(),
    }
}

fn refusal(plugin: &str) -> String {
    add(&order(plugin, "")).unwrap_err().to_string()
}

#[test]
fn a_plugin_is_told_what_the_caller_said_and_believed() {
    let order = order("gives", "K8S_POD_NAME=web");
    let Delegated { addresses, routes, dns } = add(&order).unwrap().unwrap();
    let addresses: Vec<_> = addresses.iter().map(|given| (given.address.to_string(), given.gateway)).collect();
    let gateway = "10.1.0.1".parse().unwrap();
    assert_eq!(addresses, [("10.1.0.5/24".to_owned(), Some(gateway)), ("fd00::5/64".to_owned(), None)]);
    let via = "10.1.0.9".parse().unwrap();
    let route = |to: &str, via, mtu| PodRoute { to: to.parse().unwrap(), via, mtu };
    assert_eq!(routes, [route("0.0.0.0/0", None, None), route("10.9.0.0/16", Some(via), Some(1400))]);
    let servers = Dns { nameservers: vec!["10.1.0.53".to_owned()], ..Dns::default() };
    assert_eq!(dns, Dns { domain: Some("shop.example".to_owned()), ..servers });
    del(&order).unwrap();
}

#[test]
fn a_result_of_before_0_3_0_is_read() {
    let given = add(&order("gave", "")).unwrap().unwrap();
    let addresses: Vec<_> = given.addresses.iter().map(|given| given.address.to_string()).collect();
    assert_eq!(addresses, ["10.1.0.5/24", "fd00::5/64"]);
    assert_eq!(given.routes.len(), 1);
}

#[test]
fn what_a_plugin_says_is_passed_on() {
    let refused = add(&order("refuses", "")).unwrap_err();
    assert!(refused.is_passing());
    assert_eq!(
        refused.to_string(),
        "the IPAM plugin refuses refused its ADD: no lease yet: the server is silent (its code 11)"
    );
    let died = refusal("dies");
    assert_eq!(died, "the IPAM plugin dies failed at its ADD, exit status: 7: usage: dies; see its own documentation");
    let talked = refusal("talks");
    assert_eq!(
        talked,
        "the IPAM plugin talks gave no result that can be used: it has no address; name an IPAM plugin in \"ipam\""
    );
}

#[test]
fn a_plugin_is_a_file_of_the_directories_and_of_no_other() {
    assert!(refusal("absent").starts_with("there is no IPAM plugin absent in /nowhere, "));
    for elsewhere in ["../plugins/gives", "/bin/true", "", "..", "gives/"] {
        assert!(matches!(add(&order(elsewhere, "")), Err(DelegateError::Missing { .. })), "{elsewhere}");
    }
}

#[test]
fn a_plugin_that_does_not_end_is_killed_with_what_it_started() {
    let file = std::env::temp_dir().join(format!("podlane-delegate-{}", std::process::id()));
    let order = order("sleeps", &format!("PID_FILE={}", file.display()));
    let call = Call::of(&order).unwrap();
    let began = Instant::now();
    let slow = call.make("ADD", Duration::from_secs(1)).unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(60), "it was waited for");
    assert_eq!(
        slow.to_string(),
        "the IPAM plugin sleeps was killed because its ADD took more than 1 s; see what it waits for"
    );
    let pid: i32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
    std::fs::remove_file(&file).unwrap();
    // Orphans are reaped by whoever is their parent now, some time soon; until then signal 0 finds them.
    let is_gone = || killpg(Pid::from_raw(pid), None) == Err(nix::errno::Errno::ESRCH);
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_gone() && Instant::now() < deadline && !only_zombies(pid) {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(is_gone() || only_zombies(pid), "the group {pid} goes on");
}

/// Whether all that is left of a process group waits to be reaped.
fn only_zombies(group: i32) -> bool {
    let stats = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| std::fs::read_to_string(entry.ok()?.path().join("stat")).ok());
    // pid (name) state parent group ...; a name may hold spaces.
    let after_name = |stat: String| stat.rsplit_once(')').map(|(_, rest)| rest.trim().to_owned());
    stats.filter_map(after_name).all(|rest| {
        let mut words = rest.split(' ');
        let (state, of) = (words.next(), words.nth(1));
        of != Some(&group.to_string()) || state == Some("Z")
    })
}

#[test]
fn an_order_without_a_plugin_is_left_alone() {
    let own = Order { addressing: Addressing::Own { wished: Vec::new() }, ..order("absent", "") };
    assert_eq!(add(&own).unwrap(), None);
    del(&own).unwrap();
}

/// Where Debian's containernetworking-plugins has the reference plugins.
const REFERENCE: &str = "/usr/lib/cni";

/// Whether a test of a reference plugin must be skipped here, because it is not there and cannot be installed; says so.
fn lacks(plugin: &str, test: &str) -> bool {
    let is_there = || Path::new(REFERENCE).join(plugin).exists();
    if is_there() {
        return false;
    }
    let install = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/runtimes/install");
    let reason = match std::process::Command::new(install).arg("containernetworking-plugins").output() {
        Ok(output) if output.status.success() && is_there() => return false,
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(error) => error.to_string(),
    };
    // In one piece, for tests run side by side. Nobody is left to tell when it cannot be written.
    let line = format!("skipped: {test}: {REFERENCE}/{plugin} is not there: {}\n", reason.trim());
    let _ = std::io::stderr().write_all(line.as_bytes());
    true
}

fn by_reference(plugin: &str, container: &str, ipam: &str) -> Order {
    let mut order = order(plugin, "");
    container.clone_into(&mut order.key.container);
    order.netns = Some("/proc/self/ns/net".into());
    order.addressing = Addressing::Delegated {
        plugin: plugin.to_owned(),
        path: vec![REFERENCE.into()],
        config: format!(r#"{{"cniVersion":"1.0.0","name":"podnet","type":"podlane-cni","ipam":{ipam}}}"#),
        args: String::new(),
    };
    order
}

#[test]
fn host_local_gives_addresses_and_takes_them_back() {
    if lacks("host-local", "host_local_gives_addresses_and_takes_them_back") {
        return;
    }
    let directory = std::env::temp_dir().join(format!("podlane-host-local-{}", std::process::id()));
    let ipam = format!(
        r#"{{"type":"host-local","dataDir":{:?},"ranges":[[{{"subnet":"10.77.0.0/30"}}],[{{"subnet":"fd77::/64"}}]],"routes":[{{"dst":"0.0.0.0/0"}}]}}"#,
        directory.display().to_string()
    );
    let (first, second) = (by_reference("host-local", "first", &ipam), by_reference("host-local", "second", &ipam));
    let given = add(&first).unwrap().unwrap();
    let addresses: Vec<_> = given.addresses.iter().map(|given| given.address.to_string()).collect();
    assert_eq!(addresses, ["10.77.0.2/30", "fd77::2/64"]);
    assert_eq!(given.addresses[0].gateway, Some("10.77.0.1".parse().unwrap()));
    assert_eq!(given.routes.len(), 1);
    let full = add(&second).unwrap_err();
    assert!(matches!(&full, DelegateError::Refused { plugin, command: "ADD", .. } if plugin == "host-local"), "{full}");
    del(&first).unwrap();
    del(&first).unwrap();
    assert!(add(&second).is_ok());
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn static_gives_what_the_configuration_says() {
    if lacks("static", "static_gives_what_the_configuration_says") {
        return;
    }
    let ipam = r#"{"type":"static","addresses":[{"address":"10.77.0.9/24","gateway":"10.77.0.1"}],"routes":[{"dst":"10.9.0.0/16","gw":"10.77.0.3"}]}"#;
    let given = add(&by_reference("static", "first", ipam)).unwrap().unwrap();
    assert_eq!(given.addresses[0].address.to_string(), "10.77.0.9/24");
    assert_eq!(given.routes[0].via, Some("10.77.0.3".parse().unwrap()));
    del(&by_reference("static", "first", ipam)).unwrap();
}

//! Calls as runtimes make them, against attachments that are only written down.

mod answered;
mod asked;
mod chained;
mod refusals;

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

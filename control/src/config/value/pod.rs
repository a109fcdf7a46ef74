//! Values that speak of pods, as Kubernetes names them.

use std::borrow::Cow;

use podlane_policy::model::{PodName, Protocol, is_label_key, is_label_value, is_object_name, is_port_name};
use toml::de::DeValue;

use super::{FromKey, FromValue};

impl FromValue for PodName {
    fn must_be() -> Cow<'static, str> {
        "a pod as NAMESPACE/NAME, such as \"default/web\"".into()
    }

    fn from_value(value: &DeValue<'_>) -> Option<Self> {
        let (namespace, name) = value.as_str()?.split_once('/')?;
        (is_object_name(namespace) && is_object_name(name)).then(|| Self::new(namespace, name))
    }
}

/// A label's key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::config) struct LabelKey(pub(in crate::config) String);

impl FromKey for LabelKey {
    const MUST_BE: &'static str =
        "a label's key of at most 63 letters, digits, '-', '_' and '.', perhaps after a domain and '/'";

    fn from_key(key: &str) -> Option<Self> {
        is_label_key(key).then(|| Self(key.to_owned()))
    }
}

/// A label's value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::config) struct LabelValue(pub(in crate::config) String);

impl FromValue for LabelValue {
    fn must_be() -> Cow<'static, str> {
        "a label's value in quotes: at most 63 letters, digits, '-', '_' and '.'".into()
    }

    fn from_value(value: &DeValue<'_>) -> Option<Self> {
        let text = value.as_str()?;
        is_label_value(text).then(|| Self(text.to_owned()))
    }
}

/// The name of a container's port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::config) struct PortName(pub(in crate::config) String);

impl FromKey for PortName {
    const MUST_BE: &'static str = "a port's name of at most 15 lower case letters, digits and single dashes";

    fn from_key(key: &str) -> Option<Self> {
        is_port_name(key).then(|| Self(key.to_owned()))
    }
}

/// A port of a protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::config) struct ServicePort(pub(in crate::config) Protocol, pub(in crate::config) u16);

impl FromValue for ServicePort {
    fn must_be() -> Cow<'static, str> {
        "a protocol and its port, such as \"tcp/8080\", \"udp/53\" or \"sctp/3868\"".into()
    }

    fn from_value(value: &DeValue<'_>) -> Option<Self> {
        let (protocol, port) = value.as_str()?.split_once('/')?;
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            "sctp" => Protocol::Sctp,
            _ => return None,
        };
        port.parse().ok().filter(|port| *port != 0).map(|port| Self(protocol, port))
    }
}

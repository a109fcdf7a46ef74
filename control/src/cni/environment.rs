//! What came by environment variables: container, namespace, interface, and `CNI_ARGS`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use podlane_api::CniCall;

use super::CniError;

/// The longest name of a netdev, in bytes.
const MAX_INTERFACE: usize = 15;

/// Which variables a verb cannot do without.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Needs {
    /// The container and the interface, as DEL: its namespace may be gone.
    Attachment,
    /// The namespace, too.
    Namespace,
}

/// Which attachment a call is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Environment {
    pub(super) container: String,
    pub(super) interface: String,
    pub(super) netns: Option<PathBuf>,
}

impl Environment {
    /// Of a call that needs as much.
    pub(super) fn of(call: &CniCall, needs: Needs) -> Result<Self, CniError> {
        let container = given("CNI_CONTAINERID", &call.container_id)?;
        if !is_identifier(container) {
            return Err(CniError::environment(format!(
                "CNI_CONTAINERID \"{container}\" is no id of a container (begin it with a letter or a digit, and go on with these, \
                 underscores, dots and hyphens)"
            )));
        }
        let interface = given("CNI_IFNAME", &call.ifname)?;
        if !is_interface(interface) {
            return Err(CniError::environment(format!(
                "CNI_IFNAME \"{interface}\" is no name of an interface (give 1 to {MAX_INTERFACE} bytes without slash, colon and space)"
            )));
        }
        let netns = match needs {
            Needs::Namespace => Some(given("CNI_NETNS", &call.netns)?),
            Needs::Attachment => Some(call.netns.as_str()).filter(|path| !path.is_empty()),
        };
        Ok(Self { container: container.to_owned(), interface: interface.to_owned(), netns: netns.map(PathBuf::from) })
    }
}

fn given<'v>(name: &str, value: &'v str) -> Result<&'v str, CniError> {
    if value.is_empty() {
        return Err(CniError::environment(format!("{name} is not set (the runtime must say it)")));
    }
    Ok(value)
}

/// What the specification allows for container ids and network names.
pub(super) fn is_identifier(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.chars().all(|char| char.is_ascii_alphanumeric() || matches!(char, '_' | '.' | '-'))
}

fn is_interface(name: &str) -> bool {
    (1..=MAX_INTERFACE).contains(&name.len())
        && !matches!(name, "." | "..")
        && !name.chars().any(|char| char == '/' || char == ':' || char.is_whitespace() || char.is_control())
}

/// `CNI_ARGS`: what an orchestrator says of the pod.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct CniArgs {
    /// `K8S_POD_NAMESPACE` and `K8S_POD_NAME`, where both are there.
    pub(super) pod: Option<(String, String)>,
    /// `MAC`.
    pub(super) mac: Option<String>,
    /// `IP`, separated by commas.
    pub(super) ips: Vec<String>,
    /// All others.
    pub(super) notes: BTreeMap<String, String>,
}

impl CniArgs {
    /// Reads `KEY=VALUE;KEY=VALUE`.
    pub(super) fn parse(text: &str) -> Result<Self, CniError> {
        let mut said = BTreeMap::new();
        for pair in text.split(';').map(str::trim).filter(|pair| !pair.is_empty()) {
            let Some((key, value)) = pair.split_once('=').filter(|(key, _)| !key.is_empty()) else {
                return Err(CniError::environment(format!(
                    "CNI_ARGS has \"{pair}\" (write KEY=VALUE, with ; between)"
                )));
            };
            said.insert(key.to_owned(), value.to_owned());
        }
        // How to take what is not known: as notes, whatever this says.
        said.remove("IgnoreUnknown");
        let mac = said.remove("MAC");
        let ips = said.remove("IP").map(|ips| ips.split(',').map(|ip| ip.trim().to_owned()).collect());
        let pod = match (said.get("K8S_POD_NAMESPACE"), said.get("K8S_POD_NAME")) {
            (Some(namespace), Some(name)) if !namespace.is_empty() && !name.is_empty() => {
                Some((namespace.clone(), name.clone()))
            }
            _ => None,
        };
        if pod.is_some() {
            said.remove("K8S_POD_NAMESPACE");
            said.remove("K8S_POD_NAME");
        }
        said.retain(|_, value| !value.is_empty());
        Ok(Self { pod, mac, ips: ips.unwrap_or_default(), notes: said })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(container: &str, ifname: &str, netns: &str) -> CniCall {
        CniCall {
            container_id: container.to_owned(),
            ifname: ifname.to_owned(),
            netns: netns.to_owned(),
            ..CniCall::default()
        }
    }

    #[test]
    fn a_call_names_its_container_interface_and_namespace() {
        let environment = Environment::of(&call("4f2a-1_b.c", "eth0", "/run/netns/x"), Needs::Namespace).unwrap();
        assert_eq!(environment.container, "4f2a-1_b.c");
        assert_eq!(environment.interface, "eth0");
        assert_eq!(environment.netns, Some(PathBuf::from("/run/netns/x")));
    }

    #[test]
    fn del_goes_without_a_namespace_and_nothing_else_does() {
        assert_eq!(Environment::of(&call("a", "eth0", ""), Needs::Attachment).unwrap().netns, None);
        for (container, ifname, missing) in
            [("", "eth0", "CNI_CONTAINERID"), ("a", "", "CNI_IFNAME"), ("a", "eth0", "CNI_NETNS")]
        {
            let error = Environment::of(&call(container, ifname, ""), Needs::Namespace).unwrap_err();
            assert_eq!(error.code, 4);
            assert!(error.details.contains(missing), "{error}");
        }
    }

    #[test]
    fn names_that_would_mean_something_else_are_refused() {
        for container in ["../x", "-a", ".a", "a/b", "a b", "ü", "a;b"] {
            assert_eq!(Environment::of(&call(container, "eth0", "/n"), Needs::Namespace).unwrap_err().code, 4);
        }
        for ifname in [".", "..", "a/b", "a:b", "a b", "a\tb", "sixteen-bytes-xx", "a\u{a0}b"] {
            assert_eq!(Environment::of(&call("a", ifname, "/n"), Needs::Namespace).unwrap_err().code, 4, "{ifname}");
        }
    }

    #[test]
    fn kubernetes_says_which_pod_and_the_rest_are_notes() {
        let args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=blue;K8S_POD_NAME=web-0;K8S_POD_INFRA_CONTAINER_ID=4f2a;K8S_POD_UID=0a=1b;X=";
        let args = CniArgs::parse(args).unwrap();
        assert_eq!(args.pod, Some(("blue".to_owned(), "web-0".to_owned())));
        let notes = [("K8S_POD_INFRA_CONTAINER_ID", "4f2a"), ("K8S_POD_UID", "0a=1b")];
        assert_eq!(args.notes, notes.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
    }

    #[test]
    fn addresses_may_be_wished_for() {
        let args = CniArgs::parse("IP=10.1.0.5, fd00::5;MAC=02:00:00:00:00:05;").unwrap();
        assert_eq!(args.ips, ["10.1.0.5", "fd00::5"]);
        assert_eq!(args.mac.as_deref(), Some("02:00:00:00:00:05"));
        assert_eq!(CniArgs::parse("").unwrap(), CniArgs::default());
    }

    #[test]
    fn half_a_pod_is_a_note_and_half_a_pair_an_error() {
        let args = CniArgs::parse("K8S_POD_NAME=web").unwrap();
        assert_eq!((args.pod, args.notes.len()), (None, 1));
        for text in ["K8S_POD_NAME", "=x", "A=1;b"] {
            assert_eq!(CniArgs::parse(text).unwrap_err().code, 4, "{text}");
        }
    }
}

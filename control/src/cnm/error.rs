//! What Docker is told when it cannot be.

use podlane_api::Gateway;

use crate::attach::NO_VNI;
use crate::desired::Prefix;

/// A call could not be carried out. Docker shows the text to who typed the command.
#[derive(Debug, thiserror::Error)]
pub(super) enum CnmError {
    /// A protocol that has grown, or another one.
    #[error("podlane knows no method {method} of Docker's plugins")]
    Method {
        /// The method.
        method: String,
    },
    /// The body is not what libnetwork sends.
    #[error("{method} came with what cannot be read: {source}")]
    Body {
        /// The method.
        method: String,
        /// Where it is wrong.
        source: serde_json::Error,
    },
    /// An option of a network that means nothing to us.
    #[error("podlane knows no network option {option}{} (it knows {known})", meant(nearest.as_deref()))]
    Option {
        /// The option.
        option: String,
        /// What was probably meant.
        nearest: Option<String>,
        /// All there are.
        known: String,
    },
    /// A network between nodes.
    #[error("podlane makes no network for {option}: {NO_VNI}")]
    Overlay {
        /// The option that asks for it.
        option: String,
    },
    /// An option has a value that it cannot have.
    #[error("{option}={value}: write {expected}")]
    OptionValue {
        /// The option.
        option: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
    /// A subnet that is none.
    #[error("{text} is no subnet (write it as in 10.77.0.0/24 or fd00:77::/64)")]
    Subnet {
        /// What was written.
        text: String,
    },
    /// A subnet is in use.
    #[error("{pool} overlaps {taken}, which is {}", whose(network.as_deref()))]
    Overlap {
        /// What was asked for.
        pool: Prefix,
        /// What is there.
        taken: Prefix,
        /// Whose it is; none while Docker has not made a network of it yet.
        network: Option<String>,
    },
    /// There is no subnet left to choose.
    #[error("all subnets that podlane chooses from are in use (give one with --subnet)")]
    NoPool,
    /// A network of ours without addresses of the family.
    #[error("network {network} has no {} gateway whose subnet is {} ({})", family(*v6), wanted(*pool), has(gateways))]
    NotItsSubnet {
        /// The network.
        network: String,
        /// Whether IPv6 was asked for.
        v6: bool,
        /// The subnet that was asked for; none for any.
        pool: Option<Prefix>,
        /// What it has.
        gateways: Vec<Gateway>,
    },
    /// A pool that is not known, for example of a network that was removed behind Docker's back.
    #[error("no network of podlane has the pool {pool} (remove the Docker network and create it again)")]
    Pool {
        /// The pool.
        pool: String,
    },
    /// A gateway other than the network's own.
    #[error("the gateway of network {network} is {gateway}, not {wished} (leave out --gateway)")]
    Gateway {
        /// The network.
        network: String,
        /// Its gateway.
        gateway: Gateway,
        /// What was asked for.
        wished: std::net::IpAddr,
    },
    /// A network that is not known.
    #[error("podlane has no network {network} (podlane status lists them; or leave out the option to make one)")]
    NoNetwork {
        /// The network.
        network: String,
    },
    /// Docker knows a network that we do not.
    #[error("podlane has forgotten the Docker network {id} (remove it with docker network rm and create it again)")]
    Forgotten {
        /// Docker's id.
        id: String,
    },
    /// Docker knows an endpoint that we do not.
    #[error("podlane knows no endpoint {id} (disconnect the container from the network and connect it again)")]
    NoEndpoint {
        /// Docker's id.
        id: String,
    },
    /// Ports were to be published.
    #[error(
        "podlane publishes no ports on the host (leave out -p, and reach the container by its address from a network that routes to it, or connect it to a bridge network too)"
    )]
    Publish,
    /// What the attachments say.
    #[error("{0}")]
    Attaching(String),
}

fn meant(nearest: Option<&str>) -> String {
    nearest.map(|nearest| format!(", perhaps {nearest}")).unwrap_or_default()
}

fn whose(network: Option<&str>) -> String {
    match network {
        Some(network) => format!(
            "network {network}'s (choose another --subnet, or join it with -o and --ipam-opt podlane.network={network})"
        ),
        None => "a network's that Docker is making just now (choose another --subnet)".to_owned(),
    }
}

fn family(v6: bool) -> &'static str {
    if v6 { "IPv6" } else { "IPv4" }
}

fn wanted(pool: Option<Prefix>) -> String {
    pool.map_or_else(|| "to be had".to_owned(), |pool| pool.to_string())
}

fn has(gateways: &[Gateway]) -> String {
    match gateways {
        [] => "it has none at all".to_owned(),
        some => format!("it has {}", some.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
    }
}

//! `podlane endpoint`

use podlane_api::{Endpoint, EndpointRemoval, Endpoints};

use super::Show;
use crate::cli::table::Lean::{Left, Right};
use crate::cli::table::{Cell, Table};
use crate::paint::Paint;

impl Show for Endpoints {
    fn show(&self, paint: Paint) -> String {
        if self.endpoints.is_empty() {
            return "no endpoints are stated: [[endpoint]] or podlane endpoint set\n".to_owned();
        }
        let columns = [("NETWORK", Left), ("MAC", Left), ("PEER", Left), ("GENERATION", Right), ("ADDRESSES", Left)];
        let mut table = Table::new(columns, paint);
        for endpoint in &self.endpoints {
            let addresses: Vec<String> = endpoint.addresses.iter().map(ToString::to_string).collect();
            table.row([
                endpoint.network.as_str().into(),
                endpoint.mac.to_string().into(),
                endpoint.peer.as_str().into(),
                endpoint.generation.to_string().into(),
                Cell::or_dash((!addresses.is_empty()).then(|| addresses.join(" "))),
            ]);
        }
        table.to_string()
    }
}

impl Show for Endpoint {
    fn show(&self, _: Paint) -> String {
        let Self { network, mac, peer, generation, .. } = self;
        format!("endpoint {mac} of network {network} is on {peer}, in generation {generation}\n")
    }
}

impl Show for EndpointRemoval {
    fn show(&self, _: Paint) -> String {
        let Self { network, mac, generation } = self;
        format!("endpoint {mac} of network {network} is removed, up to generation {generation}\n")
    }
}

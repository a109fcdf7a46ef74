//! Routes out of links.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_bindings::rt_route::{OpGetrouteDump, Request, RtmType, Rtmsg};
use netlink_bindings::traits::NetlinkRequest;

use crate::addresses::{check_prefix, family};
use crate::netlink::{Refusal, Reply};
use crate::{HostError, LinkId, Links};

/// `RTM_NEWROUTE`: the type of a message that describes a route.
const NEW_ROUTE: u16 = 24;

/// `RT_TABLE_MAIN`, `RTPROT_STATIC`, `RT_SCOPE_UNIVERSE` and `RT_SCOPE_LINK` of linux/rtnetlink.h.
const TABLE_MAIN: u8 = 254;
const PROTOCOL_STATIC: u8 = 4;
const SCOPE_UNIVERSE: u8 = 0;
const SCOPE_LINK: u8 = 253;

/// `RTNH_F_ONLINK`: the gateway is on the link, whatever the addresses say.
const ON_LINK: u32 = 4;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// A route out of one link, in the main table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Where to; `0.0.0.0` and `::` with a prefix of 0 are everywhere.
    pub destination: IpAddr,
    /// How many bits of it count.
    pub prefix: u8,
    /// The gateway; none where the destinations are on the link.
    pub via: Option<IpAddr>,
    /// The largest IP packet of this way; none takes the link's.
    pub mtu: Option<u32>,
    /// Whether the gateway is on the link though no address of the link says so.
    pub on_link: bool,
}

impl Links {
    /// Adds a route out of the link, which is up.
    ///
    /// # Errors
    /// [`HostError::Unreachable`] when the gateway is not on the link's network or the link is
    /// down, [`HostError::MixedFamilies`], [`HostError::BadPrefix`], [`HostError::Exists`].
    pub fn route<'a>(&mut self, route: &Route, link: impl Into<LinkId<'a>>) -> Result<(), HostError> {
        let link = link.into();
        let Route { destination, prefix, via, mtu, on_link } = *route;
        check_prefix(destination, prefix)?;
        let through = via.map_or_else(String::new, |via| format!(" via {via}"));
        let task = format_args!("add a route to {destination}/{prefix}{through} on {link}");
        if via.is_some_and(|via| via.is_ipv4() != destination.is_ipv4()) {
            return Err(HostError::MixedFamilies { task: task.to_string() });
        }
        let mut header = Rtmsg::new();
        header.rtm_family = family(destination);
        header.rtm_dst_len = prefix;
        header.rtm_table = TABLE_MAIN;
        header.rtm_protocol = PROTOCOL_STATIC;
        header.rtm_scope = if via.is_some() { SCOPE_UNIVERSE } else { SCOPE_LINK };
        header.rtm_type = RtmType::Unicast as u8;
        header.rtm_flags = if on_link { ON_LINK } else { 0 };
        let index = self.index_of(link)?;
        let mut request = Request::new().set_create().set_excl().op_newroute_do(&header);
        let mut attributes = request.encode().push_oif(index);
        if prefix > 0 {
            attributes = attributes.push_dst(destination);
        }
        if let Some(via) = via {
            attributes = attributes.push_gateway(via);
        }
        if let Some(mtu) = mtu {
            attributes = attributes.nested_metrics().push_mtu(mtu).end_nested();
        }
        drop(attributes);
        self.tell(&request, task)
    }

    /// Adds a route to `destination`/`prefix` out of the link, through the gateway `via` if given.
    /// `0.0.0.0/0` and `::/0` are the default routes.
    ///
    /// # Errors
    /// As [`route`](Self::route).
    pub fn add_route<'a>(
        &mut self,
        destination: IpAddr,
        prefix: u8,
        via: Option<IpAddr>,
        link: impl Into<LinkId<'a>>,
    ) -> Result<(), HostError> {
        self.route(&Route { destination, prefix, via, mtu: None, on_link: false }, link)
    }

    /// The unicast routes out of the link in the main table, those to its own networks among them.
    ///
    /// # Errors
    /// As any request.
    pub fn routes<'a>(&mut self, link: impl Into<LinkId<'a>>) -> Result<Vec<Route>, HostError> {
        let link = link.into();
        let index = self.index_of(link)?;
        let mut routes = Vec::new();
        for family in [AF_INET, AF_INET6] {
            let mut header = Rtmsg::new();
            header.rtm_family = family;
            let request = Request::new().op_getroute_dump(&header);
            let before = routes.len();
            self.ask(&request, format_args!("list the routes of {link}"), |reply| {
                match reply {
                    Reply::Restart => routes.truncate(before),
                    Reply::Message(message) if message.message_type == NEW_ROUTE => {
                        routes.extend(decode(message.payload, index)?);
                    }
                    Reply::Message(_) => {}
                }
                Ok(())
            })?;
        }
        Ok(routes)
    }
}

/// A unicast route of the main table out of the link of this index.
fn decode(payload: &[u8], index: u32) -> Result<Option<Route>, Refusal> {
    if payload.len() < Rtmsg::len() {
        return Err(Refusal::Malformed("a route's header is cut short"));
    }
    let (header, attributes) = OpGetrouteDump::decode_reply(payload);
    let is_wanted = header.rtm_table == TABLE_MAIN
        && header.rtm_type == RtmType::Unicast as u8
        && attributes.get_oif().is_ok_and(|out| out == index);
    if !is_wanted {
        return Ok(None);
    }
    let everywhere = if header.rtm_family == AF_INET {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED)
    } else {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    };
    Ok(Some(Route {
        destination: attributes.get_dst().unwrap_or(everywhere),
        prefix: header.rtm_dst_len,
        via: attributes.get_gateway().ok(),
        mtu: attributes.get_metrics().and_then(|metrics| metrics.get_mtu()).ok(),
        on_link: header.rtm_flags & ON_LINK != 0,
    }))
}

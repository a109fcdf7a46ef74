//! Making links: veth pairs and bridges.

use std::os::fd::BorrowedFd;

use netlink_bindings::rt_link::{Ifinfomsg, OpNewlinkDo, PushLinkAttrs, Request};
use netlink_bindings::traits::Pusher;
use netlink_bindings::utils::{finalize_nested_header, push_nested_header};

use crate::link::check_name;
use crate::links::descriptor;
use crate::{HostError, Links, MacAddress};

/// `IFLA_INFO_DATA` and `VETH_INFO_PEER`, pushed by hand: the kernel's published specification of
/// rtnetlink, which the bindings are made from, does not describe veth.
const INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;

/// A veth pair to be made: this end in the namespace of the [`Links`], the peer where it says.
#[derive(Debug, Clone)]
pub struct Veth<'a> {
    /// This end's name.
    pub name: &'a str,
    /// The largest packet of both ends, in bytes, without the Ethernet header.
    pub mtu: u32,
    /// This end's address; `None` lets the kernel draw one.
    pub mac: Option<MacAddress>,
    /// How many receive, and how many transmit queues each end gets.
    pub queues: u32,
    /// The other end.
    pub peer: VethPeer<'a>,
}

/// The other end of a [`Veth`].
#[derive(Debug, Clone)]
pub struct VethPeer<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its namespace; `None` for the same one.
    pub netns: Option<BorrowedFd<'a>>,
    /// Its address; `None` lets the kernel draw one.
    pub mac: Option<MacAddress>,
}

impl Links {
    /// Makes a veth pair, both ends down, and returns the index of this end.
    ///
    /// # Errors
    /// [`HostError::Exists`] when either name is taken, and as any request.
    pub fn veth(&mut self, veth: &Veth<'_>) -> Result<u32, HostError> {
        let peer = &veth.peer;
        check_name(veth.name)?;
        check_name(peer.name)?;
        let mut request = new_link();
        let mut info = push_end(request.encode(), veth, veth.name, veth.mac).nested_linkinfo().push_kind(c"veth");
        push_peer(info.as_vec_mut(), veth);
        info.end_nested();
        let task = format_args!("make the veth {} with peer {}", veth.name, peer.name);
        self.tell(&request, task)?;
        Ok(self.by_name(veth.name)?.index)
    }

    /// Makes a bridge, down, and returns its index.
    ///
    /// # Errors
    /// [`HostError::Exists`], and as any request.
    pub fn bridge(&mut self, name: &str) -> Result<u32, HostError> {
        check_name(name)?;
        let mut request = new_link();
        request.encode().push_ifname_bytes(name.as_bytes()).nested_linkinfo().push_kind(c"bridge");
        self.tell(&request, format_args!("make the bridge {name}"))?;
        Ok(self.by_name(name)?.index)
    }
}

/// A request that fails when the link is there already.
fn new_link() -> OpNewlinkDo<'static> {
    Request::new().set_create().set_excl().op_newlink_do(&Ifinfomsg::new())
}

/// The nests around the peer: a message within the message, with a header of its own.
fn push_peer(message: &mut Vec<u8>, veth: &Veth<'_>) {
    let data = push_nested_header(message, INFO_DATA);
    let nest = push_nested_header(message, VETH_INFO_PEER);
    message.extend_from_slice(Ifinfomsg::new().as_slice());
    let attributes = PushLinkAttrs::new(&mut *message);
    let end = push_end(attributes, veth, veth.peer.name, veth.peer.mac);
    if let Some(netns) = veth.peer.netns {
        end.push_net_ns_fd(descriptor(netns)).end_nested();
    } else {
        end.end_nested();
    }
    finalize_nested_header(message, nest);
    finalize_nested_header(message, data);
}

/// What both ends of a veth are given alike, and each end's own name and address.
fn push_end<P: Pusher>(
    end: PushLinkAttrs<P>,
    veth: &Veth<'_>,
    name: &str,
    mac: Option<MacAddress>,
) -> PushLinkAttrs<P> {
    let end = end
        .push_ifname_bytes(name.as_bytes())
        .push_mtu(veth.mtu)
        .push_num_rx_queues(veth.queues)
        .push_num_tx_queues(veth.queues);
    match mac {
        Some(mac) => end.push_address(&mac),
        None => end,
    }
}

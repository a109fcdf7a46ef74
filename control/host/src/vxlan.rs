//! Making the kernel's own `vxlan` device, and telling it where to flood: the other end of a tunnel, for tests and the demo.

use std::net::IpAddr;

use netlink_bindings::rt_link::{Ifinfomsg, Request};
use netlink_bindings::rt_neigh::{self, Ndmsg, NtfFlags, NudState};
use netlink_bindings::traits::Pusher;
use netlink_bindings::utils::{finalize_nested_header, push_header, push_nested_header};

use crate::link::check_name;
use crate::{HostError, LinkId, Links};

/// `IFLA_INFO_DATA` and the `IFLA_VXLAN_*` of linux/if_link.h, pushed by hand: the kernel's published specification of
/// rtnetlink, which the bindings are made from, does not describe vxlan.
const INFO_DATA: u16 = 2;
const VXLAN_ID: u16 = 1;
const VXLAN_LINK: u16 = 3;
const VXLAN_LOCAL: u16 = 4;
const VXLAN_LEARNING: u16 = 7;
const VXLAN_PORT: u16 = 15;
const VXLAN_LOCAL6: u16 = 17;
const VXLAN_COLLECT_METADATA: u16 = 25;

/// `AF_BRIDGE`: the family of forwarding entries.
const AF_BRIDGE: u8 = 7;

/// The address whose entries say where what is for everybody, or for nobody known, is sent.
const EVERYBODY: [u8; 6] = [0; 6];

/// A `vxlan` device to be made. It learns, and sends outer UDP checksums as the kernel does by default.
#[derive(Debug, Clone)]
pub struct Vxlan<'a> {
    /// Its name.
    pub name: &'a str,
    /// The VNI of its one network, below 2^24.
    pub vni: u32,
    /// Its own VTEP address; it speaks to VTEPs of that family.
    pub local: IpAddr,
    /// The link below.
    pub below: LinkId<'a>,
    /// The UDP port it hears and sends to.
    pub udp_port: u16,
    /// The largest inner packet, in bytes, without the inner Ethernet header.
    pub mtu: u32,
}

impl Links {
    /// Makes a `vxlan` device, down, and returns its index. It sends nothing to anybody until it is told of a VTEP.
    ///
    /// # Errors
    /// [`HostError::Exists`], also when another device has the VNI at this port; and as any request.
    pub fn vxlan(&mut self, vxlan: &Vxlan<'_>) -> Result<u32, HostError> {
        check_name(vxlan.name)?;
        let below = self.index_of(vxlan.below)?;
        let mut request = Request::new().set_create().set_excl().op_newlink_do(&Ifinfomsg::new());
        let attributes = request.encode().push_ifname_bytes(vxlan.name.as_bytes()).push_mtu(vxlan.mtu);
        let mut info = attributes.nested_linkinfo().push_kind(c"vxlan");
        let message = info.as_vec_mut();
        let data = push_nested_header(message, INFO_DATA);
        push(message, VXLAN_ID, &vxlan.vni.to_ne_bytes());
        push(message, VXLAN_LINK, &below.to_ne_bytes());
        match vxlan.local {
            IpAddr::V4(local) => push(message, VXLAN_LOCAL, &local.octets()),
            IpAddr::V6(local) => push(message, VXLAN_LOCAL6, &local.octets()),
        }
        push(message, VXLAN_LEARNING, &[1]);
        push(message, VXLAN_PORT, &vxlan.udp_port.to_be_bytes());
        finalize_nested_header(message, data);
        info.end_nested();
        self.tell(&request, format_args!("make the vxlan device {} with VNI {}", vxlan.name, vxlan.vni))?;
        Ok(self.by_name(vxlan.name)?.index)
    }

    /// Makes a `vxlan` device in external mode, down, and returns its index: for each packet it is told the network and the VTEP, and
    /// it tells them.
    ///
    /// # Errors
    /// [`HostError::Exists`], also when another device hears this port; and as any request.
    pub fn external_vxlan(&mut self, name: &str, udp_port: u16, mtu: u32) -> Result<u32, HostError> {
        check_name(name)?;
        let mut request = Request::new().set_create().set_excl().op_newlink_do(&Ifinfomsg::new());
        let attributes = request.encode().push_ifname_bytes(name.as_bytes()).push_mtu(mtu);
        let mut info = attributes.nested_linkinfo().push_kind(c"vxlan");
        let message = info.as_vec_mut();
        let data = push_nested_header(message, INFO_DATA);
        push(message, VXLAN_COLLECT_METADATA, &[1]);
        push(message, VXLAN_LEARNING, &[0]);
        push(message, VXLAN_PORT, &udp_port.to_be_bytes());
        finalize_nested_header(message, data);
        info.end_nested();
        self.tell(&request, format_args!("make the external vxlan device {name}"))?;
        Ok(self.by_name(name)?.index)
    }

    /// Has a `vxlan` device send what is for everybody, or for nobody it has learned, to this VTEP too. One it sends to already
    /// stays as it is.
    ///
    /// # Errors
    /// As any request.
    pub fn add_flood_vtep<'a>(&mut self, vxlan: impl Into<LinkId<'a>>, vtep: IpAddr) -> Result<(), HostError> {
        let vxlan = vxlan.into();
        let mut header = Ndmsg::new();
        header.ndm_family = AF_BRIDGE;
        header.ndm_ifindex = self.index_of(vxlan)?.cast_signed();
        header.ndm_state = NudState::Permanent as u16 | NudState::Noarp as u16;
        header.ndm_flags = NtfFlags::_Self as u8;
        let mut request = rt_neigh::Request::new().set_create().set_append().op_newneigh_do(&header);
        request.encode().push_lladdr(&EVERYBODY).push_dst(vtep);
        self.tell(&request, format_args!("have {vxlan} flood to {vtep}"))
    }
}

/// One attribute; whatever is pushed behind it is aligned by that.
fn push(message: &mut Vec<u8>, attribute: u16, value: &[u8]) {
    // The longest is an address.
    push_header(message, attribute, value.len() as u16);
    message.extend_from_slice(value);
}

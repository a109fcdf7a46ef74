//! Network namespaces, links and addresses of the host, over netlink.

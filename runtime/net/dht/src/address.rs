//! IPv4 addresses on the DHT: which of them are worth dialling (npm bogon).

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

/// The IPv4 form of a socket address, also of an IPv4-mapped IPv6 one.
pub(crate) fn to_v4(address: SocketAddr) -> Option<SocketAddrV4> {
    match address {
        SocketAddr::V4(a) => Some(a),
        SocketAddr::V6(a) => Some(SocketAddrV4::new(a.ip().to_ipv4_mapped()?, a.port())),
    }
}

/// Private-use, carrier-grade NAT, loopback and link-local addresses.
pub(crate) fn is_private(ip: &Ipv4Addr) -> bool {
    let [a, b, ..] = ip.octets();
    ip.is_private() || ip.is_loopback() || ip.is_link_local() || (a == 100 && (64..128).contains(&b))
}

/// Addresses nobody can be reached at: this-network, documentation, benchmarking, multicast, future use.
pub(crate) fn is_reserved(ip: &Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    a == 0
        || (a == 192 && b == 0 && (c == 0 || c == 2))
        || (a == 198 && (18..=19).contains(&b))
        || (a == 198 && b == 51 && c == 100)
        || (a == 203 && b == 0 && c == 113)
        || a >= 224
}

/// Who can be reached at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Everybody.
    Public,
    /// Who is on the same network.
    Private,
    /// Who is on the same machine.
    Loopback,
    /// Ranges that should not be in use, but are on some machines that have no other address.
    Reserved,
    /// Nobody: this-network, multicast, future use, port 0.
    Nobody,
}

/// Who can be reached at `address`.
pub fn reach(address: SocketAddrV4) -> Reach {
    let ip = address.ip();
    let [a, ..] = ip.octets();
    if a == 0 || a >= 224 || address.port() == 0 {
        Reach::Nobody
    } else if ip.is_loopback() {
        Reach::Loopback
    } else if is_private(ip) {
        Reach::Private
    } else if is_reserved(ip) {
        Reach::Reserved
    } else {
        Reach::Public
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_and_private_ranges() {
        for ip in [
            "192.0.2.2",
            "198.18.0.1",
            "198.51.100.9",
            "203.0.113.1",
            "0.0.0.0",
            "239.1.1.1",
        ] {
            assert!(is_reserved(&ip.parse().unwrap()), "{ip}");
        }
        for ip in [
            "10.1.2.3",
            "127.0.0.1",
            "100.64.0.1",
            "169.254.1.1",
            "172.31.0.1",
            "192.168.9.9",
        ] {
            assert!(
                is_private(&ip.parse().unwrap()) && !is_reserved(&ip.parse().unwrap()),
                "{ip}"
            );
        }
        for ip in ["100.128.0.1", "8.8.8.8", "172.32.0.1", "198.20.0.1"] {
            assert!(
                !is_private(&ip.parse().unwrap()) && !is_reserved(&ip.parse().unwrap()),
                "{ip}"
            );
        }
    }
}

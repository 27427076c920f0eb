//! Where a request to an upstream may go (server-side request forgery): to a tenant's HTTP API at no address of the edge's
//! own network, to anything else at no address where a machine is told its own credentials.
//!
//! Names are judged by what they resolve to, at the moment of connecting: a name that is public when it is registered and
//! private when it is called gets nowhere.

use super::client::Reach;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use url::{Host, Url};

/// Resolves names, and leaves out every address that is out of reach.
pub(super) struct Within(pub(super) Reach);

impl Resolve for Within {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let within: Vec<SocketAddr> = found.filter(|addr| reaches(reach, addr.ip())).collect();
            if within.is_empty() {
                return Err("no address that may be connected to".into());
            }
            Ok(Box::new(within.into_iter()) as Addrs)
        })
    }
}

/// Whether an address that is written out may be connected to; names are [`Within`]'s to judge.
pub(super) fn may_name(url: &Url, reach: Reach) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => reaches(reach, ip.into()),
        Some(Host::Ipv6(ip)) => reaches(reach, ip.into()),
        Some(Host::Domain(_)) => true,
        None => false,
    }
}

fn reaches(reach: Reach, ip: IpAddr) -> bool {
    match reach {
        Reach::Public => is_public(ip),
        Reach::Neighbours => !is_of_the_machine(ip),
    }
}

/// Where clouds have the metadata of a machine outside of the link-local addresses: Alibaba, Azure, Oracle's former one.
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
];
/// The same among unique local addresses: Google, Oracle, Scaleway, Akamai, Alibaba.
const METADATA_V6: [Ipv6Addr; 5] = [
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe),
    Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42),
    Ipv6Addr::new(0xfd00, 0xa9fe, 0xa9fe, 0, 0, 0, 0, 1),
    Ipv6Addr::new(0xfd00, 0x100, 0, 0, 0, 0, 0x100, 0x200),
];

/// Whether an address is one at which clouds give a machine its metadata, credentials among it: link-local ones, and those
/// that some clouds have elsewhere. No tool server is there.
fn is_of_the_machine(ip: IpAddr) -> bool {
    let of_v4 = |ip: Ipv4Addr| ip.is_link_local() || METADATA_V4.contains(&ip);
    match ip {
        IpAddr::V4(ip) => of_v4(ip),
        IpAddr::V6(ip) => match (embedded(ip), ip.segments()) {
            (Some(ip), _) => of_v4(ip),
            (None, [0xfe80..=0xfebf, ..]) => true,
            // What AWS has for its machines: the metadata, and the credentials of pods (fd00:ec2::23).
            (None, [0xfd00, 0xec2, ..]) => true,
            // NAT64 within a network (RFC 8215): which IPv4 address it leads to depends on the length of the prefix there.
            (None, [0x64, 0xff9b, 1, ..]) => true,
            (None, _) => METADATA_V6.contains(&ip),
        },
    }
}

/// Whether an address is of the public internet (IANA special-purpose address registries, RFC 6890).
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => match embedded(ip) {
            Some(ip) => is_public_v4(ip),
            // 2000::/3 is all there is of global unicast; the exceptions are within it.
            None => {
                let [first, second, ..] = ip.segments();
                let documentation = first == 0x2001 && second == 0x0db8 || first == 0x3fff;
                let protocol = first == 0x2001 && second < 0x0200;
                (0x2000..0x4000).contains(&first) && !documentation && !protocol
            }
        },
    }
}

/// The IPv4 address that an IPv6 address leads to: mapped, compatible, NAT64, 6to4.
fn embedded(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = ip.segments();
    let at = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match segments {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] => Some(at(high, low)),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(at(high, low)),
        [0x2002, high, low, ..] => Some(at(high, low)),
        _ => None,
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let protocol = a == 192 && b == 0 && c == 0;
    let benchmark = a == 198 && (18..20).contains(&b);
    !(ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation()
        || a == 0
        || a >= 224
        || shared
        || protocol
        || benchmark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_public() {
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "192.0.0.8",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "203.0.113.5",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a00:1",
            "64:ff9b:1::101:101",
            "fd20:ce::254",
            "2002:7f00:1::",
            "::127.0.0.1",
            "2001:db8::1",
            "2001::1",
            "fec0::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in [
            "1.1.1.1",
            "93.184.216.34",
            "172.32.0.1",
            "2606:4700::1111",
            "64:ff9b::101:101",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for (url, may) in [
            ("http://127.0.0.1/", false),
            ("http://2130706433/", false),
            ("http://0x7f.1/", false),
            ("http://[::1]/", false),
            ("http://[::ffff:10.0.0.1]/", false),
            ("http://localhost/", true),
            ("http://1.1.1.1/", true),
        ] {
            let url = url.parse().unwrap();
            assert_eq!(may_name(&url, Reach::Public), may, "{url}");
        }
    }

    #[test]
    fn no_upstream_is_where_a_machine_is_told_its_credentials() {
        for (url, may) in [
            ("http://169.254.169.254/latest/", false),
            ("http://0xa9fea9fe/", false),
            ("http://169.254.1.1/", false),
            ("http://100.100.100.200/", false),
            ("http://[fe80::1]/", false),
            ("http://[febf::1]/", false),
            ("http://[fd00:ec2::254]/", false),
            ("http://[fd00:ec2::23]/v1/credentials", false),
            ("http://[fd20:ce::254]/computeMetadata/v1/", false),
            ("http://[FD20:CE:0:0:0:0:0:254]/", false),
            ("http://[fd00:c1::a9fe:a9fe]/opc/v2/", false),
            ("http://[fd00:42::42]/", false),
            ("http://[fd00:a9fe:a9fe::1]/", false),
            ("http://[fd00:100::100:200]/", false),
            ("http://168.63.129.16/", false),
            ("http://192.0.0.192/", false),
            ("http://[::ffff:168.63.129.16]/", false),
            // 169.254.169.254, behind prefixes of 96 and 48 bits.
            ("http://[64:ff9b:1::a9fe:a9fe]/", false),
            ("http://[64:ff9b:1:a9fe:a9:fe00::]/", false),
            ("http://[::ffff:169.254.169.254]/", false),
            ("http://[64:ff9b::a9fe:a9fe]/", false),
            ("http://127.0.0.1:8080/mcp", true),
            ("http://10.1.2.3/mcp", true),
            ("http://[::1]/mcp", true),
            ("http://[fd00::1]/mcp", true),
            ("http://[fd20:ce::253]/mcp", true),
            ("http://[fd00:ec3::254]/mcp", true),
            ("http://[fd00:c1::1]/mcp", true),
            ("http://[fec0::1]/mcp", true),
            ("http://[64:ff9b::a01:203]/mcp", true),
            ("http://100.100.100.201/mcp", true),
            ("http://168.63.129.17/mcp", true),
            ("http://1.1.1.1/mcp", true),
        ] {
            let url = url.parse().unwrap();
            assert_eq!(may_name(&url, Reach::Neighbours), may, "{url}");
        }
    }

    #[tokio::test]
    async fn a_name_is_what_it_resolves_to() {
        for (reach, may) in [(Reach::Public, false), (Reach::Neighbours, true)] {
            let resolved = Within(reach).resolve("localhost".parse().unwrap()).await;
            assert_eq!(resolved.is_ok(), may);
        }
    }
}

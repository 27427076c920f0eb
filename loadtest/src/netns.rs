//! Network name spaces on a bridge: places for processes that can be cut off from each other. Taken down at the end.

use anyhow::ensure;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;
use tokio::net::{TcpListener, TcpStream};

/// Name spaces 1, 2, …, each with an address on one bridge; this process is at the bridge's own.
pub struct Net {
    tag: String,
    subnet: u8,
    spaces: u8,
}

impl Net {
    /// Makes them (as root).
    ///
    /// # Errors
    /// If `ip` fails.
    pub fn new(spaces: u8) -> anyhow::Result<Self> {
        let id = std::process::id();
        let net = Self {
            tag: format!("pl{}", id % 100_000),
            subnet: 128 + u8::try_from(id % 64)?,
            spaces,
        };
        ip(&["link", "add", &net.tag, "type", "bridge"])?;
        let here = format!("{}/24", net.here());
        ip(&["addr", "add", &here, "dev", &net.tag])?;
        ip(&["link", "set", &net.tag, "up"])?;
        for number in 1..=spaces {
            let space = net.space(number);
            let (outer, inner) = (
                format!("{}o{number}", net.tag),
                format!("{}i{number}", net.tag),
            );
            let address = format!("{}/24", net.address(number));
            ip(&["netns", "add", &space])?;
            ip(&[
                "link", "add", &outer, "type", "veth", "peer", "name", &inner,
            ])?;
            ip(&["link", "set", &inner, "netns", &space])?;
            ip(&["link", "set", &outer, "master", &net.tag, "up"])?;
            ip(&["-n", &space, "addr", "add", &address, "dev", &inner])?;
            ip(&["-n", &space, "link", "set", &inner, "up"])?;
            ip(&["-n", &space, "link", "set", "lo", "up"])?;
        }
        Ok(net)
    }

    /// The name of a space.
    #[must_use]
    pub fn space(&self, number: u8) -> String {
        format!("{}n{number}", self.tag)
    }

    /// The address within a space.
    #[must_use]
    pub fn address(&self, number: u8) -> IpAddr {
        Ipv4Addr::new(10, 213, self.subnet, number).into()
    }

    /// This process's own, for all spaces.
    #[must_use]
    pub fn here(&self) -> IpAddr {
        self.address(254)
    }

    /// What one sends to the other goes nowhere any more, both ways.
    ///
    /// # Errors
    /// If `ip` fails.
    pub fn cut(&self, one: u8, other: u8) -> anyhow::Result<()> {
        self.route("add", one, other)
    }

    /// Undoes [`Self::cut`].
    ///
    /// # Errors
    /// If `ip` fails.
    pub fn heal(&self, one: u8, other: u8) -> anyhow::Result<()> {
        self.route("del", one, other)
    }

    /// Of what comes into a space, loses so many percent; 0: nothing any more.
    ///
    /// # Errors
    /// If `nft` fails.
    pub fn lose(&self, number: u8, percent: u8) -> anyhow::Result<()> {
        let space = self.space(number);
        let nft = |rule: &str| {
            let words = ["netns", "exec", &space, "nft"].into_iter();
            ip(&words.chain(rule.split(' ')).collect::<Vec<_>>())
        };
        nft("add table inet loss")?;
        nft("flush table inet loss")?;
        nft("add chain inet loss in { type filter hook input priority 0 ; }")?;
        match percent {
            0 => Ok(()),
            some => nft(&format!(
                "add rule inet loss in iif != lo numgen random mod 100 < {some} drop"
            )),
        }
    }

    fn route(&self, what: &str, one: u8, other: u8) -> anyhow::Result<()> {
        for (from, to) in [(one, other), (other, one)] {
            let (space, to) = (self.space(from), self.address(to).to_string());
            ip(&["-n", &space, "route", what, "blackhole", &to])?;
        }
        Ok(())
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for number in 1..=self.spaces {
            // What was never made can't be deleted.
            let _ = ip(&["netns", "del", &self.space(number)]);
        }
        let _ = ip(&["link", "del", &self.tag]);
    }
}

fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    let done = Command::new("ip").args(arguments).output()?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "ip {arguments:?}: {said}");
    Ok(())
}

/// Whether this process may make name spaces.
#[must_use]
pub fn may_divide() -> bool {
    let name = format!("pl{}t", std::process::id());
    let made = ip(&["netns", "add", &name]).is_ok();
    // Nothing to delete where nothing could be made.
    let _ = ip(&["netns", "del", &name]);
    made
}

/// Passes connections to a free port of `at` on to a server on the loopback; its address.
///
/// # Errors
/// If nothing can listen there.
pub async fn relay(at: IpAddr, port: u16) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((at, 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            tokio::spawn(async move {
                if let Ok(mut to) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
                    // Either side may end it at any time.
                    let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
                }
            });
        }
    });
    Ok(address)
}

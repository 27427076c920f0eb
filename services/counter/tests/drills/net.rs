//! Network name spaces on a bridge.

use std::process::Command;

/// Network name spaces on a bridge; taken down at the end.
pub struct Net {
    pub tag: String,
    pub subnet: u32,
}

impl Net {
    pub fn new() -> Self {
        let id = std::process::id();
        let net = Self {
            tag: format!("pc{}", id % 100_000),
            subnet: 64 + id % 64,
        };
        net.ip(&["link", "add", &net.tag, "type", "bridge"]);
        net.ip(&[
            "addr",
            "add",
            &format!("{}/24", net.address(254)),
            "dev",
            &net.tag,
        ]);
        net.ip(&["link", "set", &net.tag, "up"]);
        for node in 1..=3 {
            let (space, outer, inner) = (
                net.space(node),
                format!("{}o{node}", net.tag),
                format!("{}i{node}", net.tag),
            );
            net.ip(&["netns", "add", &space]);
            net.ip(&[
                "link", "add", &outer, "type", "veth", "peer", "name", &inner,
            ]);
            net.ip(&["link", "set", &inner, "netns", &space]);
            net.ip(&["link", "set", &outer, "master", &net.tag, "up"]);
            net.ip(&[
                "-n",
                &space,
                "addr",
                "add",
                &format!("{}/24", net.address(node)),
                "dev",
                &inner,
            ]);
            net.ip(&["-n", &space, "link", "set", &inner, "up"]);
            net.ip(&["-n", &space, "link", "set", "lo", "up"]);
        }
        net
    }

    pub fn ip(&self, arguments: &[&str]) {
        let done = Command::new("ip").args(arguments).output().unwrap();
        assert!(
            done.status.success(),
            "ip {arguments:?}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
    }

    pub fn space(&self, node: u64) -> String {
        format!("{}n{node}", self.tag)
    }

    pub fn address(&self, host: u64) -> String {
        format!("10.213.{}.{host}", self.subnet)
    }

    /// What `from` sends to `to` goes nowhere any more.
    pub fn cut(&self, from: u64, to: u64) {
        self.ip(&[
            "-n",
            &self.space(from),
            "route",
            "add",
            "blackhole",
            &self.address(to),
        ]);
    }

    pub fn heal(&self, from: u64, to: u64) {
        self.ip(&[
            "-n",
            &self.space(from),
            "route",
            "del",
            "blackhole",
            &self.address(to),
        ]);
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for node in 1..=3 {
            let _ = Command::new("ip")
                .args(["netns", "del", &self.space(node)])
                .status();
        }
        let _ = Command::new("ip").args(["link", "del", &self.tag]).status();
    }
}

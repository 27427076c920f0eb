//! Where a tenant's upstream may be: a program that edges run, or an address in their own network, is the platform's to choose.

use crate::State;
use crate::caller::Caller;
use crate::error::ControlError;
use crate::store::objects::{self, Kind};
use proctor_model::TenantId;
use proctor_model::catalogue::{ToolServer, Upstream};
use proctor_model::principal::Right;
use std::net::{IpAddr, Ipv6Addr};
use tonic::codegen::http::Uri;
use tonic::{Code, Status};

/// Whether this caller may have an upstream there. Where the document of an MCP server does not say what it may reach, the
/// key that it comes with does.
pub(super) async fn check(
    state: &State,
    caller: &Caller,
    tenant: &TenantId,
    server: &mut ToolServer,
) -> Result<(), ControlError> {
    let stored = stored(state, tenant, server.id.as_str()).await?;
    match stored.filter(|stored| same(stored, &server.upstream)) {
        // Who puts it again chooses nothing: it was chosen by who might.
        Some(stored) => server.upstream = stored,
        None => choose(caller, &mut server.upstream)?,
    }
    Ok(())
}

async fn stored(
    state: &State,
    tenant: &TenantId,
    id: &str,
) -> Result<Option<Upstream>, ControlError> {
    let mut tx = state.store.tenant(tenant).await?;
    match objects::get(&mut tx, Kind::Server, id).await {
        Ok(found) => {
            // One that can't be read is not in the way of one that can.
            let server: Option<ToolServer> = serde_json::from_slice(&found.document).ok();
            Ok(server.map(|server| server.upstream))
        }
        Err(ControlError::Refused(status)) if status.code() == Code::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a document is about the upstream that is stored.
fn same(stored: &Upstream, new: &Upstream) -> bool {
    match (stored, new) {
        // Nobody has chosen for it yet.
        (
            Upstream::McpHttp {
                private_addresses: None,
                ..
            },
            _,
        ) => false,
        (
            Upstream::McpHttp { url, auth, tls, .. },
            Upstream::McpHttp {
                url: new_url,
                auth: new_auth,
                tls: new_tls,
                private_addresses: None,
            },
        ) => (url, auth, tls) == (new_url, new_auth, new_tls),
        // Its tools say what is sent there, with which method and path: no tenant's to choose.
        (
            Upstream::Http {
                private_addresses: true,
                ..
            },
            _,
        ) => false,
        _ => stored == new,
    }
}

const PRIVATE: &str = "a server in the edges' own network";

fn choose(caller: &Caller, upstream: &mut Upstream) -> Result<(), Status> {
    let platform = |what: &str| {
        caller.platform(Right::WriteEdges).map_err(|_| {
            Status::permission_denied(format!(
                "upstream: {what} is registered with a platform key"
            ))
        })
    };
    match upstream {
        Upstream::McpHttp {
            url,
            private_addresses,
            ..
        } => {
            let wanted = private_addresses.unwrap_or_else(|| is_private(url));
            if wanted {
                platform(PRIVATE)?;
            }
            // A name may stand for anything: with a platform key, for a neighbour.
            private_addresses.get_or_insert_with(|| platform(PRIVATE).is_ok());
        }
        Upstream::Http {
            private_addresses: true,
            ..
        } => platform(PRIVATE)?,
        // The program runs as the edge's user, beside other tenants' keys: a tenant must not choose it.
        Upstream::McpStdio { .. } => platform("a program that edges run")?,
        // Of providers each says it for itself.
        Upstream::Http { .. } | Upstream::Llm { .. } | Upstream::Memory { .. } => {}
    }
    Ok(())
}

/// Whether an address says openly that it is nobody's but the edge's own. Edges judge what names resolve to.
fn is_private(url: &str) -> bool {
    let uri: Option<Uri> = url.parse().ok();
    let Some(host) = uri.as_ref().and_then(Uri::host) else {
        return false;
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse() {
        Ok(IpAddr::V4(ip)) => {
            ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_unspecified()
        }
        Ok(IpAddr::V6(ip)) => is_private_v6(ip),
        Err(_) => bare.eq_ignore_ascii_case("localhost"),
    }
}

fn is_private_v6(ip: Ipv6Addr) -> bool {
    ip.is_loopback() || ip.is_unspecified() || ip.is_unique_local() || ip.is_unicast_link_local()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn upstream(more: Value) -> Upstream {
        let mut upstream = json!({ "kind": "mcp-http", "url": "https://tools.example/mcp" });
        let members = upstream.as_object_mut().unwrap();
        members.extend(more.as_object().unwrap().clone());
        serde_json::from_value(upstream).unwrap()
    }

    #[test]
    fn what_was_chosen_stays_for_who_does_not_say_otherwise() {
        let chosen = upstream(json!({ "private_addresses": true }));
        for (new, is_same) in [
            (json!({}), true),
            (json!({ "private_addresses": true }), true),
            (json!({ "private_addresses": false }), false),
            (json!({ "url": "https://other.example/mcp" }), false),
            (json!({ "tls": { "client_certificate": "mine" } }), false),
        ] {
            assert_eq!(same(&chosen, &upstream(new.clone())), is_same, "{new}");
        }
        let unsaid = upstream(json!({}));
        assert!(!same(&unsaid, &unsaid), "from before anybody chose");
    }

    #[test]
    fn an_address_that_is_written_out_says_what_it_is() {
        for private in [
            "http://127.0.0.1:3001/mcp",
            "http://10.0.0.1/",
            "http://169.254.169.254/",
            "http://[::1]:80/",
            "http://[fd00::1]/",
            "http://localhost/",
        ] {
            assert!(is_private(private), "{private}");
        }
        for other in [
            "https://tools.example/",
            "http://1.1.1.1/",
            "http://[2606:4700::1111]/",
        ] {
            assert!(!is_private(other), "{other}");
        }
    }
}
